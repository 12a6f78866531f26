"""From `make up` to the first answer, with packages installed and an empty home."""

import shutil
import time
from contextlib import AbstractContextManager
from pathlib import Path

import httpx

from app.devstack.process import Process
from bench.messages import TYPICAL
from bench.processes import BenchError, running, serving
from bench.report import Report


def measure(folder: Path, report: Report) -> None:
    """Start everything in a new home and report the seconds until a visitor gets an answer."""
    make = shutil.which("make")
    if make is None:
        raise BenchError("make is not on PATH")

    def launch(port: int) -> AbstractContextManager[Process]:
        home = folder / f"home-{port}"
        environment = {"PORT": str(port), "NOVAHOUSE_HOME": str(home)}
        return running([make, "up"], environment=environment, log=folder / "up.log")

    with serving(launch, path="/health/ready") as up, httpx.Client(base_url=up.base, trust_env=False) as client:
        token = client.post("/v1/chat/sessions").raise_for_status().json()["session_token"]
        headers = {"Authorization": f"Bearer {token}"}
        client.post("/v1/chat/messages", json={"text": TYPICAL}, headers=headers).raise_for_status()
        report.add("`make up` to the first answer, s", time.monotonic() - up.process.started, at_most=8.0)
