"""wrk as the load generator, and reading what it prints.

It has no stand-in on purpose: a generator in Python costs as much CPU per request as the floor itself, on the same
cores, so that it would measure itself and call everything about as fast as the floor.
"""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError

_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True, slots=True)
class Load:
    """One round of load."""

    requests: int
    requests_per_second: float
    p50_ms: float
    p99_ms: float


def program() -> str:
    """Where wrk is. Raises BenchError with how to install it."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchError("wrk is not on PATH: install it (apt-get install wrk, brew install wrk)")
    return found


def run(url: str, *, script: Path, first: int, seconds: int, connections: int) -> Load:
    """Load `url` with what `script` makes of the numbers from `first` on.

    Raises BenchError when an answer was not a success.
    """
    return parse(_output(url, script=script, seconds=seconds, connections=connections, arguments=(str(first),)))


def flood(url: str, *, script: Path, seconds: int, connections: int) -> int:
    """Load `url` with one request over and over; gives how many answers were no success."""
    refused = re.search(
        r"Non-2xx or 3xx responses: (\d+)", _output(url, script=script, seconds=seconds, connections=connections)
    )
    return int(refused[1]) if refused else 0


def _output(url: str, *, script: Path, seconds: int, connections: int, arguments: tuple[str, ...] = ()) -> str:
    options = [
        "-t",
        "1",
        "-c",
        str(connections),
        "-d",
        f"{seconds}s",
        "--timeout",
        "10s",
        "--latency",
        "-s",
        str(script),
    ]
    done = subprocess.run(  # noqa: S603  wrk with our arguments
        [program(), *options, url, "--", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {done.stderr.strip()[-200:]}")
    return done.stdout


def parse(output: str) -> Load:
    """Read wrk's report. Raises BenchError when it tells of errors or is none."""
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", output)
    if failed:
        raise BenchError(f"not every answer was a success: {failed.group()}")
    count = re.search(r"(\d+) requests in ", output)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    percentiles = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m))\s*$", output, re.MULTILINE))
    if count is None or rate is None or set(percentiles) != {"50", "99"}:
        raise BenchError(f"wrk printed no report: {output[-200:]}")
    return Load(
        requests=int(count.group(1)),
        requests_per_second=float(rate.group(1)),
        p50_ms=_milliseconds(percentiles["50"]),
        p99_ms=_milliseconds(percentiles["99"]),
    )


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
