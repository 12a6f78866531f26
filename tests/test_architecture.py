"""No message leaves around the guard: who may send, who may write about people, and who may open a connection."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHANNELS = Path("worker/channels")
MESSAGES = Path("worker/messages.py")
ABOUT_PEOPLE = {"LeadAlert", "HandoffAlert"}
"""Messages that say something of a person to somebody else, or advertise to the person."""
WITHOUT_GUARD = {
    "Notice": "tells those who run the service of the service, and holds no personal data",
    "PersonalMail": "follow-ups ask it (`sending.judge`), and so do opt-ins (`opt_in.obstacle`); the proof that an "
    "address asked for is sent by its own request, whatever was consented to",
    "Deletion": "asks a recipient to delete: the person wants it gone",
}
MODEL = Path("app/engine/llm/client.py")
CONNECTING = {"openai", "httpx", "aiosmtplib", "smtplib", "aiohttp", "requests", "socket", "urllib.request"}


def modules(*folders: str) -> Iterator[tuple[Path, ast.Module]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Every call by the last part of its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node.func.attr, node
            elif isinstance(node.func, ast.Name):
                yield node.func.id, node


def sends_of_channels(tree: ast.AST) -> list[str]:
    """What `.send(` is called on, except sockets' and clients' own, which channels hold."""
    return [
        ast.unparse(call.func.value)
        for name, call in calls(tree)
        if name == "send" and isinstance(call.func, ast.Attribute)
    ]


def test_only_the_pump_sends() -> None:
    senders = {
        str(path): found
        for path, tree in modules("app", "worker")
        if not path.is_relative_to(CHANNELS)
        and not path.is_relative_to("app/devstack")
        and (found := sends_of_channels(tree))
    }
    assert senders == {"worker/pump.py": ["self._channel"]}


def kinds() -> set[str]:
    """Every class of the union that channels take, unions within it included."""
    tree = ast.parse((ROOT / CHANNELS / "base.py").read_text())
    aliases = {
        node.target.id: {part.id for part in ast.walk(node.value) if isinstance(part, ast.Name)}
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    found, open_names = set(), {"Message"}
    while open_names:
        name = open_names.pop()
        if name in aliases:
            open_names |= aliases[name]
        else:
            found.add(name)
    return found


def test_every_kind_of_message_is_guarded_or_says_why_not() -> None:
    assert kinds() <= ABOUT_PEOPLE | WITHOUT_GUARD.keys(), "decide whether the new message needs the guard"


def test_only_one_module_writes_about_people() -> None:
    writers = {str(path) for path, tree in modules("app", "worker") if ABOUT_PEOPLE & {name for name, _ in calls(tree)}}
    assert writers == {str(MESSAGES)}


def methods() -> dict[str, ast.AsyncFunctionDef | ast.FunctionDef]:
    tree = ast.parse((ROOT / MESSAGES).read_text())
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Messages")
    return {node.name: node for node in found.body if isinstance(node, ast.AsyncFunctionDef | ast.FunctionDef)}


def reaches(name: str, goal: str, known: dict[str, ast.AsyncFunctionDef | ast.FunctionDef]) -> bool:
    """Whether a method calls `goal`, by itself or by way of others of its class."""
    called = {called for called, _ in calls(known[name])}
    return goal in called or any(reaches(inner, goal, known) for inner in own_calls(known[name]) & known.keys())


def own_calls(tree: ast.AST) -> set[str]:
    """Methods called on `self`."""
    functions = [call.func for _, call in calls(tree) if isinstance(call.func, ast.Attribute)]
    return {function.attr for function in functions if ast.unparse(function.value) == "self"}


def test_whatever_is_written_about_people_has_asked_the_guard() -> None:
    known = methods()
    written = own_calls(known["write"]) & known.keys()
    about_people = {name for name in written if any(reaches(name, kind, known) for kind in ABOUT_PEOPLE)}
    assert about_people
    for name in about_people:
        assert reaches(name, "reasons_not_to_send", known), f"{name} writes about people and asks no guard"
    assert reaches("refusal", "reasons_not_to_send", known)
    pump = ast.parse((ROOT / "worker/pump.py").read_text())
    assert "refusal" in {name for name, _ in calls(pump)}, "what waited for its turn must ask again"


def test_only_channels_and_the_models_client_open_connections() -> None:
    found = {
        str(path): imported
        for path, tree in modules("app", "worker")
        if (imported := {name for name in imports(tree) if name in CONNECTING})
        and not path.is_relative_to(CHANNELS)
        and not path.is_relative_to("app/devstack")
        and path != MODEL
    }
    assert found == {}


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def test_only_worker_context_makes_channels() -> None:
    makers = {
        str(path)
        for path, tree in modules("app", "worker")
        if {"SlackChannel", "MondayChannel", "EmailChannel"} & {name for name, _ in calls(tree)}
    }
    assert makers == {"worker/context.py"}


def test_only_a_decision_changes_an_answer() -> None:
    """The columns that people read and the table that sends rely on are written by one function."""
    deciders = {str(path) for path, tree in modules("app", "worker") for name, _ in calls(tree) if name == "set_state"}
    assert deciders == {"app/consent/service.py"}
    recorders = {
        str(path) for path, tree in modules("app", "worker") for name, _ in calls(tree) if name == "record_decision"
    }
    assert recorders == {"app/conversations/consents.py"}
