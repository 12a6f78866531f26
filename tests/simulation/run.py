"""The two weeks, moment by moment: leap, let things happen while workers die, wait for rest, ask the oracle."""

import asyncio
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from tests.chaos.stack import History
from tests.listening import listening
from tests.processes import eventually
from tests.simulation.leaps import Leaps
from tests.simulation.lives import STARTS, Kind, Life, lives, moments
from tests.simulation.mailbox import Attempt, Mailbox, Mood, Stage
from tests.simulation.oracle import Oracle, Row, Span
from tests.simulation.stack import SEND_SECONDS, Stack, stack
from tests.simulation.visitors import Visitors

PATIENCE_SECONDS: Final = 60.0
LATE_CRON: Final = timedelta(seconds=310)
"""A job whose worker died runs again when its interval is over."""
LATE_CRON_SECONDS: Final = 2.0
RECOVERY: Final = timedelta(minutes=80)
"""How long after a trouble its victims may wait for their retries."""
AMBUSH_SECONDS: Final = 0.8
HOPES: Final = 40
"""Leaps of an hour after the last moment until nothing waits any more."""
_KILLS: Final = (0, 0, 0, 0, 0, 1, 1, 2, 3)
_OUTAGE: Final = 0.03
_SECOND_THOUGHTS: Final = 0.3
"""The share of those whose mail waits to be tried again who end it before it is."""
_THOUGHTS: Final = (Kind.WRITES, Kind.WITHDRAWS, Kind.FORBIDS, Kind.TAKEN, Kind.UNSUBSCRIBES_BY_ADDRESS)
_TROUBLED: Final = 0.08

_ROWS: Final = """
SELECT f.id, f.conversation_id, f.followup_number, f.state, f.reason, f.created_at, f.closed_at,
    (SELECT max(t.started_at + make_interval(secs => COALESCE(t.duration_ms / 1000.0, 30)))
     FROM outbound_alert a JOIN delivery_attempt t ON t.alert_id = a.id
     WHERE a.event = 'followup.due' AND a.subject_id = f.id AND t.outcome = 'ambiguous')
FROM followup_event f
"""
_SUBJECTS: Final = "SELECT id::text, subject_id FROM outbound_alert WHERE event = 'followup.due'"
_IN_VAIN: Final = """
SELECT alert_id::text, started_at FROM delivery_attempt
WHERE outcome = 'ambiguous' AND error = 'total_timeout' AND duration_ms >= $1::float8
"""
_JOBS: Final = ("retry_dead_letters", "apply_unsubscribes", "followups")
_AT_REST: Final = """
SELECT (SELECT count(*) FROM outbound_alert WHERE state = 'sending') AS sending,
    (SELECT count(*) FROM outbound_alert a JOIN channel_gate g USING (channel)
     WHERE a.channel = 'email' AND g.paused_at IS NULL AND (g.open_until IS NULL OR g.open_until <= now())
       AND (a.state = 'pending' AND a.next_attempt_at <= now()
            OR a.state = 'retrying' AND a.next_attempt_at <= $1)) AS due,
    (SELECT count(*) FROM scheduled_job
     WHERE name = ANY($2) AND started_at > $1 - interval '1 second' AND succeeded_at >= started_at) AS done,
    (SELECT string_agg(name || ': ' || last_error, ', ') FROM scheduled_job WHERE last_error IS NOT NULL) AS errors
"""
# a transaction that was open during a leap dates from just before it
_RUNS: Final = "SELECT name, started_at::text, succeeded_at::text, last_error FROM scheduled_job ORDER BY started_at"


@dataclass(slots=True)
class Summary:
    """What a simulation came to."""

    seed: int
    oracle: Oracle
    attempts: list[Attempt] = field(default_factory=list)
    turned_away: int = 0
    kills: int = 0
    moments: int = 0
    seconds: float = 0
    stuck: str = ""
    """What never came to rest."""

    @property
    def failed(self) -> bool:
        """Whether something happened that must not."""
        return bool(self.oracle.wrong or self.stuck)

    @property
    def first_mails(self) -> int:
        """Follow-ups that arrived."""
        return len({attempt.message_id for attempt in self.attempts if attempt.taken})


class StuckError(Exception):
    """Work that is due was not done in time."""


async def run(*, conversations: int, seed: int, workers: int, often: bool, say: Callable[[str], None]) -> Summary:
    """Run it all, or until something is wrong."""
    plan, chance = random.Random(seed), random.Random(seed)  # noqa: S311  they protect nothing
    times = moments(plan, STARTS[seed % len(STARTS)], often=often)
    people = lives(plan, conversations, last=len(times) - 1)
    began, history = time.monotonic(), History()
    summary = Summary(seed, Oracle(history))
    with tempfile.TemporaryDirectory(prefix="novahouse-simulation-") as folder:
        leaps = Leaps(Path(folder) / "ahead")
        mailbox = Mailbox(chance, leaps.now)
        try:
            async with (
                listening(mailbox.talk) as port,
                stack(Path(folder), leaps, history, workers=workers, mail_port=port, rng=chance) as running,
            ):
                await _Simulation(running, leaps, mailbox, summary, plan, chance).live(times, people, say)
        except StuckError as stuck:
            summary.stuck = str(stuck)
    summary.attempts, summary.turned_away = mailbox.attempts, mailbox.turned_away
    summary.kills, summary.seconds = len(history.killed), time.monotonic() - began
    return summary


class _Simulation:
    def __init__(
        self,
        running: Stack,
        leaps: Leaps,
        mailbox: Mailbox,
        summary: Summary,
        rng: random.Random,
        chance: random.Random,
    ) -> None:
        self._running = running
        self._leaps = leaps
        self._mailbox = mailbox
        self._summary = summary
        self._oracle = summary.oracle
        self._rng = rng
        self._chance = chance
        self._visitors = Visitors(running.client, running.sql, mailbox, summary.oracle, leaps.now)

    async def live(self, times: Sequence[datetime], people: Sequence[Life], say: Callable[[str], None]) -> None:
        """Every moment, then until nothing waits. Raises StuckError."""
        planned: dict[int, dict[str, list[tuple[Life, Kind]]]] = defaultdict(lambda: defaultdict(list))
        for life in people:
            for index, kind in life.acts:
                planned[index][life.person].append((life, kind))
        await self._leap(times[0] - timedelta(hours=1))
        await eventually(self._all_ready, seconds=PATIENCE_SECONDS)
        await self._visitors.read_texts()
        for index, moment in enumerate(times):
            if moment < self._leaps.now() + LATE_CRON:
                for person, acts in planned[index].items():
                    planned[index + 1][person] = acts + planned[index + 1][person]
                continue
            await self._moment(moment, planned[index])
            self._summary.moments += 1
            if index % 10 == 0 or self._oracle.wrong:
                say(self._line(moment))
            if self._oracle.wrong:
                return
        for _ in range(HOPES):
            moment = self._leaps.now() + timedelta(hours=1)
            await self._leap(moment)
            self._running.come_back()
            await self._rest(moment, hurry=True)
            await self._ask(moment, set())
            if not any(row.state == "pending" for row in self._oracle.rows.values()):
                break
        subjects = {row[0]: row[1] for row in await self._running.sql.fetch(_SUBJECTS)}
        in_vain: dict[str, list[datetime]] = defaultdict(list)
        for alert, began in await self._running.sql.fetch(_IN_VAIN, SEND_SECONDS * 1000):
            in_vain[alert].append(began)
        self._oracle.finish(self._mailbox.attempts, subjects, in_vain)

    def _line(self, moment: datetime) -> str:
        oracle = self._oracle
        mails = sum(attempt.taken for attempt in self._mailbox.attempts)
        return (
            f"{moment:%a %d %b %H:%M}: {len(oracle.chats)} conversations, {len(oracle.rows)} follow-ups, "
            f"{mails} mails, {len(self._running.history.killed)} kills, {len(oracle.wrong)} wrong"
        )

    async def _moment(self, moment: datetime, acts: dict[str, list[tuple[Life, Kind]]]) -> None:
        rng, history = self._rng, self._running.history
        kills, outage, troubled = rng.choice(_KILLS), rng.random() < _OUTAGE, rng.random() < _TROUBLED
        moods = rng.sample([*Mood], k=2)
        came_back = self._out
        await self._leap(moment)
        self._running.come_back()
        killed = len(history.killed)
        with self._mailbox.trouble(moods) if troubled else nullcontext():
            async with asyncio.TaskGroup() as group:
                for person in acts.values():
                    group.create_task(self._live_on(person, rng.uniform(0, 0.3)))
                for _ in range(kills):
                    group.create_task(self._kill(rng.choice([*Stage, None]), rng.uniform(0, 0.6)))
            if outage:
                self._oracle.troubles.append(Span(moment, self._leaps.now() + RECOVERY))
                self._running.go_out()
                return
            await self._rest(moment, hurry=came_back or len(history.killed) > killed)
        if troubled:
            self._oracle.troubles.append(Span(moment, self._leaps.now() + RECOVERY))
        await self._ask(moment, set(acts))
        for row in self._oracle.rows.values():
            if row.state == "pending" and self._chance.random() < _SECOND_THOUGHTS:
                life = self._oracle.by_id[row.conversation_id].life
                await self._visitors.act(life, self._chance.choice(_THOUGHTS))

    async def _ask(self, moment: datetime, touched: set[str]) -> None:
        """The oracle looks; where somebody was passed by, once more after the next cron."""
        if not self._oracle.after(moment, await self._rows(), touched, next_cron=False):
            later = self._leaps.now() + LATE_CRON
            await self._leap(later)
            await self._rest(later, hurry=True)
            self._oracle.after(moment, await self._rows(), touched, next_cron=True)

    async def _live_on(self, acts: Sequence[tuple[Life, Kind]], delay: float) -> None:
        """One person's acts, one after the other."""
        await asyncio.sleep(delay)
        for life, kind in acts:
            await self._visitors.act(life, kind)

    async def _kill(self, stage: Stage | None, delay: float) -> None:
        """Lie in wait for a worker at this stage of a mail, or take one anywhere; one dies in any case."""
        if stage is None:
            await asyncio.sleep(delay)
            self._running.kill(self._rng.choice(self._running.workers).name)
            return
        fell: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def strike(worker: str) -> None:
            self._running.kill(worker)
            fell.set_result(None)

        ambush = (stage, strike)
        self._mailbox.ambushes.append(ambush)
        await asyncio.wait([fell], timeout=AMBUSH_SECONDS)
        if not fell.done():
            self._mailbox.ambushes.remove(ambush)
            self._running.kill(self._rng.choice(self._running.workers).name)

    async def _rest(self, moment: datetime, *, hurry: bool) -> None:
        """Wait until all jobs have run and everything that is due was tried. `hurry`: a job may wait for its next cron.

        Raises StuckError.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        cron = time.monotonic() + LATE_CRON_SECONDS
        while True:
            now = await self._running.sql.fetchrow(_AT_REST, moment, list(_JOBS))
            assert now is not None
            if now["sending"] == now["due"] == 0 and now["done"] == len(_JOBS):
                return
            if time.monotonic() > deadline:
                jobs = [tuple(row) for row in await self._running.sql.fetch(_RUNS)]
                said = [worker.last_line for worker in self._running.workers]
                raise StuckError(f"at {moment}: {dict(now)}, hurry {hurry}, jobs {jobs}, {said}")
            if hurry and now["sending"] == now["due"] == 0 and now["done"] < len(_JOBS) and time.monotonic() > cron:
                await self._leap(self._leaps.now() + LATE_CRON)
                cron = time.monotonic() + LATE_CRON_SECONDS
            await self._all_ready()  # each is asked while its first line can still be read
            await asyncio.sleep(0.04)

    @property
    def _out(self) -> bool:
        """Whether no worker lives, nor shall."""
        return not any(worker.wanted.is_set() for worker in self._running.workers)

    async def _all_ready(self) -> bool:
        ready = [worker.ready for worker in self._running.workers]
        return all(ready)

    async def _leap(self, to: datetime) -> None:
        async def leapt() -> bool:
            return await self._leaps.leap(self._running.sql, to, over_claims=self._out)

        await eventually(leapt, seconds=PATIENCE_SECONDS)

    async def _rows(self) -> list[Row]:
        return [Row(*row) for row in await self._running.sql.fetch(_ROWS)]
