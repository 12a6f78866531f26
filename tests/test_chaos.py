"""A short run of tests/chaos: processes and servers are killed under load, and no alert is lost."""

from tests.chaos.rounds import run


async def test_nothing_is_lost_and_every_repeat_is_explained() -> None:
    said: list[str] = []
    summary = await run(rounds=2, seed=102, workers=2, say=said.append)
    assert not summary.failed, "\n".join([*said, *summary.findings.wrong, *map(str, summary.findings.evidence.items())])
    assert summary.rounds == 2
    assert {"worker", "postgres", "redis", "receiver"} <= summary.blows.keys()
