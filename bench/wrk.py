"""wrk as the load generator: it costs far less CPU than the servers it loads. And reading what it prints."""

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

    requests_per_second: float
    p50_ms: float
    p99_ms: float


def run(url: str, *, script: Path, seconds: int, connections: int) -> Load:
    """Load `url` and give what came of it. Raises BenchError when wrk is absent or an answer was not a success."""
    wrk = shutil.which("wrk")
    if wrk is None:
        raise BenchError("wrk is not on PATH: install it (apt-get install wrk, brew install wrk)")
    command = [wrk, "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--latency", "-s", str(script), url]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  wrk with our arguments
    if done.returncode != 0:
        raise BenchError(f"wrk failed: {done.stderr.strip()[-200:]}")
    return parse(done.stdout)


def parse(output: str) -> Load:
    """Read wrk's report. Raises BenchError when it tells of errors or is none."""
    failed = re.search(r"Non-2xx or 3xx responses: (\d+)|Socket errors: .*", output)
    if failed:
        raise BenchError(f"not every answer was a success: {failed.group()}")
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    percentiles = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m))\s*$", output, re.MULTILINE))
    if rate is None or set(percentiles) != {"50", "99"}:
        raise BenchError(f"wrk printed no report: {output[-200:]}")
    return Load(float(rate.group(1)), _milliseconds(percentiles["50"]), _milliseconds(percentiles["99"]))


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]
