"""The chat write path against the floor, alternating on the same servers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bench import wrk
from bench.messages import CONVERSATIONS, TYPICAL
from bench.processes import http_server
from bench.report import Report, progress

CONNECTIONS = 100
WARM_UP_SECONDS = 2
_THREADS = 8

# Request n is turn n / #heads of the conversation n % #heads, so that requests in flight never share a conversation.
# Conversations of one kind begin at different turns: every round is the same mix.
_SCRIPT = """
local heads, conversations, n = {heads}, {conversations}, 0
function init(args) n = tonumber(args[1]) end
function request()
  local who, turn = n % #heads, math.floor(n / #heads)
  local conversation = conversations[who % #conversations + 1]
  local body = conversation[(turn + math.floor(who / #conversations)) % #conversation + 1]
  n = n + 1
  body = body:gsub("WHO", who)
  return heads[who + 1] .. "Content-Length: " .. #body .. "\\r\\n\\r\\n" .. body
end
"""


@dataclass(slots=True)
class Target:
    """Something to load, and what the rounds so far came to."""

    url: str
    script: Path
    sent: int = 0
    loads: list[wrk.Load] = field(default_factory=list)

    def load(self, seconds: int, *, connections: int = CONNECTIONS) -> wrk.Load:
        """Load it for so long, going on where the last load ended."""
        found = wrk.run(self.url, script=self.script, first=self.sent, seconds=seconds, connections=connections)
        self.sent += found.requests + CONNECTIONS  # those in flight when wrk stopped may have been stored
        return found


def measure(
    environment: Mapping[str, str], folder: Path, report: Report, *, rounds: int, seconds: int, sessions: int
) -> None:
    """Alternate floor, chat and mixed chat for `rounds` rounds of `seconds`, and report medians and ratios."""
    with (
        http_server("bench.floor:app", environment=environment, log=folder / "floor.log", path="/chat") as floor,
        http_server("app.main:app", environment=environment, log=folder / "chat.log", path="/health/ready") as ours,
    ):
        progress(f"opening {2 * sessions} sessions")
        tokens = open_sessions(ours.base, 2 * sessions)
        chat = f"{ours.base}/v1/chat/messages"
        said = json.dumps({"session_id": "WHO", "text": TYPICAL})
        targets = {
            "floor": target(folder / "floor.lua", f"{floor.base}/chat", heads=[""] * sessions, talks=[[said]]),
            "chat": target(folder / "chat.lua", chat, heads=tokens[:sessions], talks=[[message(TYPICAL)]]),
            "mixed": target(
                folder / "mixed.lua",
                chat,
                heads=tokens[sessions:],
                talks=[[message(text) for text in talk] for talk in CONVERSATIONS],
            ),
        }
        for each in targets.values():
            each.load(WARM_UP_SECONDS)
        for _ in range(rounds):
            for name, each in targets.items():
                load = each.load(seconds)
                each.loads.append(load)
                progress(f"{name:<6} {load.requests_per_second:7.0f} requests/s, p99 {load.p99_ms:6.1f} ms")
    _tell(report, {name: each.loads for name, each in targets.items()})


def _tell(report: Report, loads: Mapping[str, Sequence[wrk.Load]]) -> None:
    for name, found in loads.items():
        report.add_rounds(f"{name}: requests/s", [load.requests_per_second for load in found])
        report.add_rounds(f"{name}: p50 ms", [load.p50_ms for load in found])
        report.add_rounds(f"{name}: p99 ms", [load.p99_ms for load in found])
    pairs = list(zip(loads["chat"], loads["floor"], strict=True))
    mixed = list(zip(loads["mixed"], loads["floor"], strict=True))
    report.add_rounds("chat / floor, requests/s", _rates(pairs), at_least=0.5)
    report.add_rounds("chat / floor, p99", _slowest(pairs), at_most=2.5)
    report.add_rounds("mixed / floor, requests/s", _rates(mixed))
    report.add_rounds("mixed / floor, p99", _slowest(mixed))


def _rates(pairs: Iterable[tuple[wrk.Load, wrk.Load]]) -> list[float]:
    return [ours.requests_per_second / floor.requests_per_second for ours, floor in pairs]


def _slowest(pairs: Iterable[tuple[wrk.Load, wrk.Load]]) -> list[float]:
    return [ours.p99_ms / floor.p99_ms for ours, floor in pairs]


def message(text: str) -> str:
    """The body that says `text`."""
    return json.dumps({"text": text})


def open_sessions(base: str, count: int) -> list[str]:
    """Open conversations; gives the header that speaks in each."""
    with httpx.Client(base_url=base, trust_env=False) as client, ThreadPoolExecutor(_THREADS) as pool:

        def open_one(_number: int) -> str:
            answer = client.post("/v1/chat/sessions").raise_for_status()
            return f"Authorization: Bearer {answer.json()['session_token']}\r\n"

        return list(pool.map(open_one, range(count)))


def target(script: Path, url: str, *, heads: Sequence[str], talks: Sequence[Sequence[str]]) -> Target:
    """What wrk is to say at `url`: each of `heads` speaks in one conversation, by turns of `talks`."""
    parts = httpx.URL(url)
    start = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc.decode()}\r\nContent-Type: application/json\r\n"
    script.write_text(
        _SCRIPT.format(
            heads=_lua(lua_string(start + head) for head in heads),
            conversations=_lua(_lua(lua_string(body) for body in talk) for talk in talks),
        ),
        encoding="utf-8",
    )
    return Target(url, script)


def _lua(items: Iterable[str]) -> str:
    return "{" + ",".join(items) + "}"


def lua_string(text: str) -> str:
    """`text` as a Lua literal. JSON's escapes must reach the server as they are."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\r").replace("\n", "\\n")
    return f'"{escaped}"'
