"""What a run found, beside what DESIGN asks for."""

import json
import math
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median


@dataclass(frozen=True, slots=True)
class Line:
    """One number, the rounds it is the median of, and the target it has, if it has one."""

    name: str
    value: float
    rounds: tuple[float, ...] = ()
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

    @property
    def spread(self) -> str:
        """The lowest and the highest round, which tell how quiet the machine was."""
        return f"{_figure(min(self.rounds))}–{_figure(max(self.rounds))}" if len(self.rounds) > 1 else ""


@dataclass(slots=True)
class Report:
    """The lines of a run."""

    lines: list[Line] = field(default_factory=list)

    def add(self, name: str, value: float, *, at_least: float | None = None, at_most: float | None = None) -> None:
        """Note one number."""
        self.lines.append(Line(name, value, (), at_least, at_most))

    def add_rounds(
        self, name: str, rounds: Sequence[float], *, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        """Note the median of several rounds."""
        self.lines.append(Line(name, median(rounds), tuple(rounds), at_least, at_most))

    def table(self) -> str:
        """The lines for a terminal."""
        return "\n".join(
            f"{line.name:<42} {_figure(line.value):>8}  {line.spread:<14} {line.target:<7} {line.verdict}".rstrip()
            for line in self.lines
        )

    def save(self, path: Path) -> None:
        """Write the lines as JSON."""
        lines = [asdict(line) | {"verdict": line.verdict} for line in self.lines]
        path.write_text(json.dumps(lines, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of a hundred do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[max(math.ceil(len(ranked) * percent / 100) - 1, 0)]


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"  # noqa: PLR2004  three figures are enough


def progress(text: str) -> None:
    """Say what is going on while it goes on."""
    sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()
