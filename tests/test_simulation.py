"""A small run of tests/simulation: two weeks, workers that die, and nobody gets too much or misses their due."""

from tests.simulation.__main__ import report
from tests.simulation.run import run


async def test_two_weeks_of_followups_arrive_as_they_may() -> None:
    summary = await run(conversations=28, seed=3, workers=3, often=False, say=_to_nobody)
    assert not summary.failed, "\n".join(report(summary))
    assert summary.first_mails > 20
    assert summary.kills > 5
    assert summary.oracle.due > 20


def _to_nobody(_line: str) -> None:
    """The report says it all."""
