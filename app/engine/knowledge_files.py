"""The knowledge files on disk: which there are, reading them, and errors that name the file and the line."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml
from pydantic import ValidationError

from app.engine.knowledge import (
    CityFile,
    FaqFile,
    FirmFile,
    FollowupFile,
    Knowledge,
    KnowledgeError,
    Local,
    NameFile,
    PackageFile,
    PriceFile,
    TemplateFile,
    holes,
)

_T = TypeVar("_T")
DEFAULT_DIRECTORY: Final = Path(__file__).with_name("knowledge")
COMPANY: Final = ("packages", "prices", "faq", "cities", "firm", "followups")
"""Files that a company writes."""
SHARED: Final = ("acts", "names", "templates")
"""Files about the language rather than the company: where a folder has none, the project's own are used."""


def paths(directory: Path | None) -> dict[str, Path]:
    """Every knowledge file by its name, in `directory` or, where that may lack it, among the project's own."""
    folder = directory or DEFAULT_DIRECTORY
    found = {name: folder / f"{name}.yaml" for name in COMPANY}
    for name in SHARED:
        own = folder / f"{name}.yaml"
        found[name] = own if own.exists() else DEFAULT_DIRECTORY / own.name
    return found


def fingerprint(directory: Path | None) -> str:
    """Changes whenever a file does. Reads no file; raises `OSError` when one is missing."""
    looks = (
        f"{path} {stat.st_mtime_ns} {stat.st_size}" for path in paths(directory).values() for stat in [path.stat()]
    )
    return hashlib.sha256("\n".join(looks).encode()).hexdigest()


def load_firm(directory: Path | None = None) -> FirmFile:
    """The firm's own facts alone; raises `KnowledgeError`."""
    return _read(paths(directory)["firm"], FirmFile.model_validate)


def load(directory: Path | None = None) -> Knowledge:
    """Read and check the knowledge files; raises `KnowledgeError` naming the file and, where known, the line."""
    where = paths(directory)
    acts, faq = (_read(where[name], FaqFile.model_validate) for name in ("acts", "faq"))
    firm = load_firm(directory)
    parts = {
        "packages": _read(where["packages"], PackageFile.model_validate),
        "prices": _read(where["prices"], PriceFile.model_validate),
        "faq": _joined(acts, faq),
        "cities": _read(where["cities"], CityFile.model_validate),
        "names": _read(where["names"], NameFile.model_validate),
        "firm": firm,
        "followups": _read(where["followups"], FollowupFile.model_validate),
        "templates": _templates(where["templates"], frozenset(firm.facts)),
    }
    try:
        return Knowledge.model_validate(parts)
    except ValidationError as error:
        msg = f"{where['firm'].parent.name}: {_reason(error)}"
        raise KnowledgeError(msg) from error


def _joined(acts: FaqFile, faq: FaqFile) -> FaqFile:
    """Both lists as one; what the company says under an id replaces what everybody would."""
    entries = {entry.id: entry for entry in (*acts.entries, *faq.entries)}
    return FaqFile(vocabulary=[*acts.vocabulary, *faq.vocabulary], entries=list(entries.values()))


def _templates(path: Path, facts: frozenset[str]) -> dict[str, Local]:
    """The project's own sentences with those of the file in their place; `facts` may stand in any of them."""
    own = _read(DEFAULT_DIRECTORY / "templates.yaml", TemplateFile.model_validate).templates
    if path.parent == DEFAULT_DIRECTORY:
        return dict(own)
    changed = _read(path, TemplateFile.model_validate).templates
    for name, local in changed.items():
        if name not in own:
            msg = f"{path.name}: no sentence is called {name!r}"
            raise KnowledgeError(msg)
        strange = (holes(local.pl) | holes(local.en)) - facts - holes(own[name].pl) - holes(own[name].en)
        if strange:
            msg = f"{path.name}: nothing fills {', '.join(sorted(strange))} in {name!r}"
            raise KnowledgeError(msg)
    return {**own, **changed}


def _read(path: Path, build: Callable[[Any], _T]) -> _T:
    try:
        text = path.read_text(encoding="utf-8")
        data = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - both are safe loaders
    except OSError as error:
        msg = f"{path.name}: {error.strerror}"
        raise KnowledgeError(msg) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        msg = f"{path.name}: {error}"
        raise KnowledgeError(msg) from error
    try:
        return build(data)
    except ValidationError as error:
        place = tuple(error.errors()[0]["loc"])
        msg = f"{path.name}, line {_line_of(text, place)}: {'.'.join(map(str, place))}: {_reason(error)}"
        raise KnowledgeError(msg) from error


def _reason(error: ValidationError) -> str:
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """The line where a validation error sits, as far down as the document goes."""
    node = yaml.compose(text, yaml.SafeLoader)
    line = 1
    for step in (None, *location):
        if step is not None:
            node = _child(node, step)
        if node is None:
            break
        line = node.start_mark.line + 1
    return line


def _child(node: yaml.Node | None, step: int | str) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        found: yaml.Node = node.value[step]
        return found
    return None
