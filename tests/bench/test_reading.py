"""Reading what wrk prints, writing what it plays, and judging a number by its target."""

import json
from pathlib import Path

import pytest

from bench.chat import lua_string
from bench.messages import CONVERSATIONS, HARD
from bench.processes import BenchError, environment_of
from bench.report import Line, Report, percentile
from bench.wrk import Load, parse

REPORT = """Running 3s test @ http://127.0.0.1:8000/chat
  Latency Distribution
     50%   30.85ms
     75%   40.00ms
     99%    1.25s{blank}
  10000 requests in 3.00s, 1.00MB read
Requests/sec:   3155.31
""".replace("{blank}", " ")  # as wrk pads it


def test_a_report_is_read_in_milliseconds() -> None:
    assert parse(REPORT) == Load(requests=10_000, requests_per_second=3155.31, p50_ms=30.85, p99_ms=1250.0)


@pytest.mark.parametrize("line", ["  Non-2xx or 3xx responses: 7\n", "  Socket errors: connect 0, read 3\n"])
def test_a_failed_answer_fails_the_run(line: str) -> None:
    with pytest.raises(BenchError, match="not every answer"):
        parse(REPORT + line)


def test_something_else_than_a_report_is_an_error() -> None:
    with pytest.raises(BenchError, match="no report"):
        parse("unable to connect")


def test_a_number_is_judged_by_its_target() -> None:
    assert Line("x", 0.5, at_least=0.5).verdict == "met"
    assert Line("x", 0.49, at_least=0.5).verdict == "not yet"
    assert Line("x", 2.6, at_most=2.5).verdict == "not yet"
    assert Line("x", 1.0).verdict == ""


def test_rounds_are_reported_by_their_median_and_their_spread(tmp_path: Path) -> None:
    report = Report()
    report.add_rounds("x", [0.4, 0.9, 0.5], at_least=0.5)
    assert report.table().split() == ["x", "0.50", "0.40–0.90", "≥", "0.5", "met"]
    report.save(tmp_path / "numbers.json")
    (line,) = json.loads((tmp_path / "numbers.json").read_text())
    assert line["value"] == 0.5
    assert line["rounds"] == [0.4, 0.9, 0.5]
    assert line["verdict"] == "met"


@pytest.mark.parametrize(("percent", "value"), [(50, 50), (99, 99), (100, 100)])
def test_a_percentile_is_a_value_that_was_measured(percent: int, value: int) -> None:
    assert percentile(list(range(100, 0, -1)), percent) == value


def test_a_percentile_of_one_value_is_that_value() -> None:
    assert percentile([7.0], 99) == 7.0


def test_a_body_reaches_lua_with_its_escapes() -> None:
    assert lua_string('{"text": "za\\u017c\n"}') == '"{\\"text\\": \\"za\\\\u017c\\n\\"}"'


def test_a_measured_process_does_not_inherit_where_the_caller_s_shell_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_WEBHOOK_URL", "https://hooks.slack.com/services/real")
    monkeypatch.setenv("DATABASE_URL", "postgresql://real")
    environment = environment_of({"PORT": "1"})
    assert environment["PORT"] == "1"
    assert not {"SLACK_WEBHOOK_URL", "DATABASE_URL"} & environment.keys()


def test_every_message_is_one_that_the_api_takes() -> None:
    assert all(0 < len(text) <= 2_000 for text in (*HARD, *(text for talk in CONVERSATIONS for text in talk)))
