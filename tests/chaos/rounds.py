"""One round: load, and meanwhile kills and bad answers at random moments; then calm, and the audit."""

import asyncio
import random
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from tests.chaos.books import CHANNELS, Findings, audit, unsettled
from tests.chaos.receiver import SLOWEST_ANSWER, Mood, Receiver
from tests.chaos.stack import Stack, stack
from tests.chaos.visitors import Visitors
from tests.listening import listening
from tests.processes import eventually

CALM_SECONDS = 120.0
LOAD_SECONDS = 2.5
BUSY_SECONDS = 1.0
_VISITORS = (10, 18)
_BLOWS = (2, 6)
_TROUBLE_SECONDS = (0.3, 2.5)
_WEIGHTS = {"worker": 6, "redis": 3, "flush": 1, "immediate": 2, "postgres": 2, "trouble": 5}


@dataclass(slots=True)
class Summary:
    """What a whole run came to."""

    rounds: int = 0
    seconds: float = 0
    blows: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    findings: Findings = field(default_factory=Findings)

    @property
    def failed(self) -> bool:
        """Whether something was lost, or happened that nothing explains."""
        return bool(self.findings.wrong)


async def run(*, rounds: int, seed: int, workers: int, say: Callable[[str], None]) -> Summary:
    """Run until a round fails, `rounds` at most."""
    plan, chance = random.Random(seed), random.Random(seed)  # noqa: S311  they protect nothing
    summary, began, receiver = Summary(), time.monotonic(), Receiver(chance)
    with tempfile.TemporaryDirectory(prefix="novahouse-chaos-") as folder:
        async with (
            listening(receiver.talk) as port,
            stack(Path(folder), workers=workers, receiver_port=port, rng=chance) as running,
        ):
            visitors = Visitors(running.client)
            for number in range(1, rounds + 1):
                await _round(running, receiver, visitors, plan)
                before = summary.findings
                summary.findings = await _audited(running, receiver, visitors)
                blows, summary.rounds = running.history.blows - summary.blows, number
                summary.blows += blows
                say(_line(number, rounds, blows, before, summary.findings))
                if summary.failed:
                    break
            summary.retries = visitors.retries
    summary.seconds, summary.requests = time.monotonic() - began, len(receiver.requests)
    return summary


def _line(number: int, rounds: int, blows: Counter[str], before: Findings, now: Findings) -> str:
    did = " ".join(f"{what} {count}x" for what, count in sorted(blows.items()))
    return (
        f"round {number}/{rounds}: {now.alerts - before.alerts} alerts, {did}, {len(now.lost)} lost, "
        f"{len(now.explained) - len(before.explained)} repeats explained, {len(now.wrong)} wrong"
    )


async def _round(running: Stack, receiver: Receiver, visitors: Visitors, rng: random.Random) -> None:
    try:
        await eventually(lambda: _all_ready(running), seconds=CALM_SECONDS)
    except AssertionError as error:
        raise AssertionError([worker.last_line for worker in running.workers]) from error
    kinds = ["worker", *rng.choices(list(_WEIGHTS), list(_WEIGHTS.values()), k=rng.randint(*_BLOWS))]
    async with asyncio.TaskGroup() as group:
        for _ in range(rng.randint(*_VISITORS)):
            group.create_task(_later(rng.uniform(0, LOAD_SECONDS), visitors.one))
        for kind in kinds:
            group.create_task(_later(rng.uniform(0.2, LOAD_SECONDS), _blow(kind, running, receiver, rng)))
    await eventually(lambda: _settled(running), seconds=CALM_SECONDS, every=0.1)


async def _later(seconds: float, what: Callable[[], Awaitable[None]]) -> None:
    await asyncio.sleep(seconds)
    await what()


def _blow(kind: str, running: Stack, receiver: Receiver, rng: random.Random) -> Callable[[], Awaitable[None]]:
    worker = rng.choice(running.workers)
    channel, moods = rng.choice(CHANNELS), rng.sample(list(Mood), k=rng.randint(1, 3))
    seconds, moment = rng.uniform(*_TROUBLE_SECONDS), rng.uniform(0, SLOWEST_ANSWER)

    async def kill_worker() -> None:
        """In the middle of a send, when one comes up soon."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BUSY_SECONDS):
                while not receiver.busy[worker.name]:  # noqa: ASYNC110  its name changes when it is started again
                    await asyncio.sleep(0.005)
        await asyncio.sleep(moment)
        worker.kill(running.history)

    async def trouble() -> None:
        running.history.note(f"{channel}: {', '.join(moods)}", blow="receiver")
        with receiver.trouble(channel, moods):
            await asyncio.sleep(seconds)
        running.history.note(f"{channel}: fine")

    blows: dict[str, Callable[[], Awaitable[None]]] = {
        "worker": kill_worker,
        "trouble": trouble,
        "redis": lambda: running.crash_redis(flush=False),
        "flush": lambda: running.crash_redis(flush=True),
        "postgres": lambda: running.crash_postgres(immediate=False),
        "immediate": lambda: running.crash_postgres(immediate=True),
    }
    return blows[kind]


async def _all_ready(running: Stack) -> bool:
    return all(worker.ready for worker in running.workers)


async def _settled(running: Stack) -> bool:
    connection = await asyncpg.connect(running.postgres.url)
    try:
        return not await unsettled(connection)
    finally:
        await connection.close()


async def _audited(running: Stack, receiver: Receiver, visitors: Visitors) -> Findings:
    connection = await asyncpg.connect(running.postgres.url)
    try:
        return await audit(connection, receiver.requests, running.history, visitors.promised)
    finally:
        await connection.close()
