"""The real `novahouse up`: what it prints to paste ends in the alerts at the sink."""

import shlex
from pathlib import Path

import httpx

from app.devstack.process import wait_until
from tests.devstack.stack import PROJECT, Stack


def test_the_printed_commands_end_in_one_alert_at_each_channel(tmp_path: Path) -> None:
    stack = Stack(PROJECT, tmp_path / "the home", tmp_path)
    try:
        run = stack.start()
        sink = run.fact("Sink").split()[0]
        commands = [shlex.split(line) for line in run.output.splitlines() if "/v1/chat/messages" in line]
        session = httpx.post(f"{stack.url}/v1/chat/sessions", json={"locale": "pl"}).json()
        token = {"Authorization": f"Bearer {session['session_token']}", "Content-Type": "application/json"}
        answers = [httpx.post(command[2], content=command[-1].encode(), headers=token) for command in commands]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert "103\N{NO-BREAK SPACE}948" in answers[0].json()["replies"][0]["text"]

        def delivered() -> list[str]:
            messages = httpx.get(f"{sink}/messages").json()
            return sorted(message["channel"] for message in messages["items"])

        assert wait_until(lambda: len(delivered()) > 1, seconds=10), run.output
        assert delivered() == ["monday", "slack"]
        assert run.end() == 0
        assert stack.nobody()
    finally:
        stack.clear()
