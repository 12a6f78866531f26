"""What a run found, beside what DESIGN asks for."""

import json
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Line:
    """One number, and the target it has, if it has one."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def verdict(self) -> str:
        """`met`, `not yet`, or nothing when there is no target."""
        if self.at_least is None and self.at_most is None:
            return ""
        low = self.at_least is None or self.value >= self.at_least
        high = self.at_most is None or self.value <= self.at_most
        return "met" if low and high else "not yet"

    @property
    def target(self) -> str:
        """The target in words."""
        if self.at_least is not None:
            return f"≥ {self.at_least:g}"
        return "" if self.at_most is None else f"≤ {self.at_most:g}"


@dataclass(slots=True)
class Report:
    """The lines of a run."""

    lines: list[Line] = field(default_factory=list)

    def add(self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Note one number."""
        self.lines.append(Line(name, value, at_least, at_most))

    def table(self) -> str:
        """The lines for a terminal."""
        return "\n".join(
            f"{line.name:<44} {line.value:>10.2f}  {line.target:<8} {line.verdict}".rstrip() for line in self.lines
        )

    def save(self, path: Path) -> None:
        """Write the lines as JSON."""
        path.write_text(json.dumps([asdict(line) | {"verdict": line.verdict} for line in self.lines], indent=1))


def progress(text: str) -> None:
    """Say what is going on while it goes on."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()
