"""The chat write path against the floor, alternating on the same servers."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import httpx

from bench import wrk
from bench.processes import http_server
from bench.report import Report, progress

CONNECTIONS = 100
SESSIONS = 1_500
MESSAGE = "ile wyjdzie za 50 m w comforcie?"

_SCRIPT = """
local bodies, tokens, n = {bodies}, {tokens}, 0
wrk.method = "POST"
function request()
  n = n + 1
  local headers = {{["Content-Type"] = "application/json"}}
  if #tokens > 0 then headers["Authorization"] = "Bearer " .. tokens[n % #tokens + 1] end
  return wrk.format("POST", nil, headers, bodies[n % #bodies + 1])
end
"""


def measure(environment: Mapping[str, str], folder: Path, report: Report, *, rounds: int, seconds: int) -> None:
    """Alternate floor and chat for `rounds` rounds of `seconds`, and report medians and ratios."""
    with (
        http_server("bench.floor:app", environment=environment, log=folder / "floor.log", path="/chat") as floor,
        http_server("app.main:app", environment=environment, log=folder / "chat.log", path="/health/live") as ours,
    ):
        progress(f"opening {SESSIONS} sessions")
        targets = {
            "floor": (f"{floor}/chat", _floor_script(folder)),
            "chat": (f"{ours}/v1/chat/messages", _chat_script(folder, ours)),
        }
        loads: dict[str, list[wrk.Load]] = {name: [] for name in targets}
        for number in range(rounds + 1):
            for name, (url, script) in targets.items():
                load = wrk.run(url, script=script, seconds=seconds if number else 2, connections=CONNECTIONS)
                if number:
                    loads[name].append(load)
                progress(f"{name:<6} {load.requests_per_second:7.0f} requests/s, p99 {load.p99_ms:6.1f} ms")
    _tell(report, loads)


def _tell(report: Report, loads: Mapping[str, list[wrk.Load]]) -> None:
    rates = {name: median(load.requests_per_second for load in found) for name, found in loads.items()}
    slowest = {name: median(load.p99_ms for load in found) for name, found in loads.items()}
    for name in loads:
        report.add(f"{name}: requests/s", rates[name])
        report.add(f"{name}: p50 ms", median(load.p50_ms for load in loads[name]))
        report.add(f"{name}: p99 ms", slowest[name])
    report.add("chat / floor, requests/s", rates["chat"] / rates["floor"], at_least=0.5)
    report.add("chat / floor, p99", slowest["chat"] / slowest["floor"], at_most=2.5)


def _lua(items: list[str]) -> str:
    return "{" + ",".join(f"[==[{item}]==]" for item in items) + "}"


def _floor_script(folder: Path) -> Path:
    bodies = [json.dumps({"session_id": f"s{number}", "text": MESSAGE}) for number in range(SESSIONS)]
    script = folder / "floor.lua"
    script.write_text(_SCRIPT.format(bodies=_lua(bodies), tokens="{}"))
    return script


def _chat_script(folder: Path, base: str) -> Path:
    with httpx.Client(base_url=base) as client, ThreadPoolExecutor(8) as pool:

        def open_session(_number: int) -> str:
            token: str = client.post("/v1/chat/sessions").raise_for_status().json()["session_token"]
            return token

        tokens = list(pool.map(open_session, range(SESSIONS)))
    script = folder / "chat.lua"
    script.write_text(_SCRIPT.format(bodies=_lua([json.dumps({"text": MESSAGE})]), tokens=_lua(tokens)))
    return script
