"""From `novahouse up` to the first answer, with packages installed and an empty home."""

import time
from pathlib import Path

import httpx

from app.devstack.process import free_port
from bench.processes import module, wait_for_http
from bench.report import Report


def measure(folder: Path, report: Report) -> None:
    """Start everything in a new home and report the seconds until a visitor gets an answer."""
    port, sink = free_port(), free_port()
    environment = {"PORT": str(port), "SINK_PORT": str(sink), "NOVAHOUSE_HOME": str(folder / "home")}
    base, log = f"http://127.0.0.1:{port}", folder / "up.log"
    started = time.perf_counter()
    with module("app.cli", "up", environment=environment, log=log) as process:
        wait_for_http(f"{base}/health/ready", process, log)
        token = httpx.post(f"{base}/v1/chat/sessions").raise_for_status().json()["session_token"]
        headers = {"Authorization": f"Bearer {token}"}
        httpx.post(
            f"{base}/v1/chat/messages", json={"text": "ile kosztuje Premium?"}, headers=headers
        ).raise_for_status()
        report.add("`make up` to the first answer, s", time.perf_counter() - started, at_most=8.0)
