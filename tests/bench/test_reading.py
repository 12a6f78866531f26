"""Reading what wrk prints, and judging a number by its target."""

import pytest

from bench.processes import BenchError
from bench.report import Line
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
    assert parse(REPORT) == Load(requests_per_second=3155.31, p50_ms=30.85, p99_ms=1250.0)


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
