"""What a running stack lends to other commands of its folder, and takes back when it ends."""

import json
from signal import Signals

from tests.devstack.stack import Stack


def test_a_stack_publishes_its_settings_for_its_owner_only_while_it_runs(stack: Stack, given: dict[str, str]) -> None:
    run = stack.start({**given, "NOT_OURS": "x"})
    published = stack.home / "environment.json"
    settings = json.loads(published.read_text())
    assert {name: settings[name] for name in given} == given
    assert settings["SLACK_WEBHOOK_URL"].startswith("http://127.0.0.1:")
    assert settings["ADMIN_API_KEY"] == run.fact("Admin key").removeprefix("key").strip()
    assert not {"NOT_OURS", "PATH"} & set(settings)
    assert published.stat().st_mode & 0o777 == 0o600
    assert run.end() == 0
    assert not published.exists()


def test_what_a_killed_stack_left_is_gone_before_the_next_one_is_up(stack: Stack, given: dict[str, str]) -> None:
    killed = stack.start(given)
    killed.end(Signals.SIGKILL)
    assert (stack.home / "environment.json").exists()
    refused = stack.launch({**given, "DATABASE_URL": "postgresql://127.0.0.1:9/x"})
    assert refused.exit_code() == 1
    assert not (stack.home / "environment.json").exists()
