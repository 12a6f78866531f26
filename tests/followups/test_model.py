"""Random timelines against a simple model of who may get what and when."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.keys import KeyRing
from app.engine.engine import Engine
from app.followups.calendar import WARSAW
from app.followups.sending import Ready
from app.followups.service import Followups
from tests.followups.people import DAY, NOON
from tests.followups.world import World

DELAYS = (timedelta(hours=24), timedelta(hours=72), timedelta(hours=168))
STARTS = (NOON, datetime(2026, 3, 26, 12, tzinfo=WARSAW), datetime(2026, 10, 22, 12, tzinfo=WARSAW))
"""A week as any other, and those in which the clocks change."""
CHATS = (("anna@example.com", True), ("anna@example.com", True), ("jan@example.com", None))


@dataclass
class Chat:
    """What the model knows of one conversation."""

    id: UUID
    email: str
    quiet_since: datetime
    marketing: bool | None
    rodo: bool | None = None
    lead: str = "new"
    erased: bool = False
    replied: bool = False
    """Whether the visitor has written since the last follow-up was."""
    written: list[datetime] = field(default_factory=list)
    arrived: dict[int, datetime] = field(default_factory=dict)
    doubtful: dict[int, datetime] = field(default_factory=dict)
    """When a worker died that may have sent one last."""
    left: dict[int, datetime] = field(default_factory=dict)
    """When each left last, whether anybody wrote it down or not."""

    def moments(self) -> list[datetime]:
        """When this visitor was, or may have been, written to."""
        return [*self.written, *self.arrived.values(), *self.doubtful.values()]


class Model:
    """Who may get what, in the plainest words, in step with the world."""

    def __init__(self, world: World, start: datetime) -> None:
        self.world = world
        self.now = start.astimezone(UTC)
        self.went_back = False
        self.suppressed: set[str] = set()
        self.sent: set[tuple[UUID, int]] = set()
        self.died: set[tuple[UUID, int]] = set()
        world.empty()
        self.chats = [Chat(world.visitor(email, self.now, agrees), email, self.now, agrees) for email, agrees in CHATS]

    def agrees(self, chat: Chat) -> bool:
        """Whether this visitor wants marketing by mail."""
        wants = chat.marketing is True and chat.rodo is not False and chat.email not in self.suppressed
        return wants and not chat.erased

    def by_day(self) -> bool:
        """Whether people may be written to at this hour."""
        local = self.now.astimezone(WARSAW)
        return local.isoweekday() != 7 and time(9) <= local.time() < time(20)

    def eligible(self, chat: Chat, waiting: set[tuple[UUID, int]]) -> bool:
        """Whether a schedule that runs now may write to this conversation."""
        number = len(chat.written)
        if not (self.agrees(chat) and self.by_day() and chat.lead == "new" and number < len(DELAYS)):
            return False
        person = [other for other in self.chats if other.email == chat.email and not other.erased]
        moments = [moment for other in person for moment in other.moments()]
        return (
            self.now >= chat.quiet_since + DELAYS[number]
            and self.now < chat.quiet_since + DELAYS[-1] + timedelta(days=30)
            and not any(other.id == waits for other in person for waits, _ in waiting)
            and all(self.now >= moment + DAY for moment in moments)
        )

    def schedule(self, schedules: int) -> None:
        """Schedules run: to each person who may be written to they write once, and to nobody else."""
        waiting = self.world.waiting()
        expected = [chat for chat in self.chats if self.eligible(chat, waiting)]
        self.world.run(self.now, schedules=schedules)
        states = self.world.followups()
        wrote = [chat for chat in self.chats if (chat.id, len(chat.written) + 1) in states]
        assert {chat.id for chat in wrote} <= {chat.id for chat in expected}
        assert sorted(chat.email for chat in wrote) == sorted({chat.email for chat in expected})
        for chat in wrote:
            chat.written.append(self.now)
            chat.replied = False
        assert len(states) == sum(len(chat.written) for chat in self.chats if not chat.erased)
        assert self.world.mails() == sum(len(chat.written) for chat in self.chats)

    def work(self, death: str | None, meanwhile: Callable[[], None]) -> None:
        """A worker claims what waits and, unless it dies, sends past the guard and settles."""
        claims = self.world.claim()
        numbers = [self.world.number_of(claimed) for claimed in claims]
        meanwhile()
        for claimed, key in zip(claims, numbers, strict=True):
            if death == "before":
                continue
            verdict = self.world.judge(claimed, self.now)
            if isinstance(verdict, Ready):
                assert key is not None, "it was erased"
                self._leaves(*key, dies=death is not None)
            if death is None:
                self.world.settle(claimed, self.now, verdict)
                if isinstance(verdict, Ready) and key is not None:
                    self._chat(key[0]).arrived[key[1]] = self.now
        if death is not None:
            for key in numbers:
                if key is not None:
                    self._chat(key[0]).doubtful[key[1]] = self.now
            self.world.lapse(self.now)

    def _leaves(self, chat_id: UUID, number: int, *, dies: bool) -> None:
        """A mail goes out. May it?"""
        chat, key = self._chat(chat_id), (chat_id, number)
        assert self.by_day()
        assert self.agrees(chat)
        assert chat.lead == "new"
        assert not chat.replied
        assert number == len(chat.written)
        assert key not in self.sent or key in self.died, "twice, and no worker died in between"
        if not self.went_back:
            for other in self.chats:
                if other.email == chat.email and not other.erased:
                    others = [at for at_number, at in other.left.items() if (other.id, at_number) != key]
                    assert all(self.now >= at + DAY for at in others), "two in one day to one person"
        chat.left[number] = self.now
        self.sent.add(key)
        self.died.discard(key)
        if dies:
            self.died.add(key)

    def _chat(self, chat_id: UUID) -> Chat:
        return next(chat for chat in self.chats if chat.id == chat_id)

    def happens(self, what: str, index: int) -> None:
        """Something in the life of one visitor."""
        chat = self.chats[index]
        if chat.erased:
            return
        match what:
            case "writes":
                self.world.says(chat.id, self.now)
                chat.quiet_since, chat.replied = self.now, True
            case "agrees" | "refuses":
                chat.marketing = what == "agrees"
                self.world.decides(chat.id, "marketing_email", granted=chat.marketing)
            case "refuses rodo" | "agrees to rodo":
                chat.rodo = what == "agrees to rodo"
                self.world.decides(chat.id, "rodo", granted=chat.rodo)
            case "unsubscribes":
                self.world.suppress(chat.email)
                self.suppressed.add(chat.email)
            case "confirms":
                self.world.confirm(chat.email)
                self.suppressed.discard(chat.email)
            case "erased":
                self.world.erase(chat.id)
                chat.erased = True
            case status:
                self.world.lead(chat.id, status)
                chat.lead = status


@pytest.fixture(scope="module")
def world(migrated_url: str, engine: Engine) -> Iterator[World]:
    """The real thing."""
    made = World(migrated_url, Followups(engine, KeyRing("secret"), mail=True))
    yield made
    made.close()


LIFE = st.tuples(
    st.sampled_from(
        ["writes"] * 3
        + ["agrees"] * 2
        + ["refuses", "refuses rodo", "agrees to rodo", "unsubscribes", "confirms", "erased", "contacted", "new"]
    ),
    st.integers(0, len(CHATS) - 1),
)
HOURS = st.sampled_from([0, 0, 1, 5, 12, 20, 24, 24, 48, 72])
DEATHS = st.sampled_from([None, None, "before", "after"])
DAYS = st.lists(
    st.tuples(HOURS, st.integers(0, 3), HOURS, st.none() | LIFE, st.none() | st.tuples(DEATHS, st.none() | LIFE)),
    min_size=4,
    max_size=12,
)
"""Time passes, schedules run, time passes or goes back a little, somebody does something, a worker works or dies."""


@settings(max_examples=80, deadline=None)
@given(start=st.sampled_from(STARTS), days=DAYS, back=st.sampled_from([None, None, 1, 3]))
def test_nobody_gets_what_they_may_not_and_everybody_what_they_may(
    world: World, start: datetime, days: list[tuple[Any, ...]], back: int | None
) -> None:
    model = Model(world, start)
    for index, (before, schedules, after, life, work) in enumerate(days):
        model.now += timedelta(hours=before)
        if schedules:
            model.schedule(schedules)
        model.now += timedelta(hours=after)
        if back is not None and index % back == 0:
            model.now -= timedelta(hours=back)
            model.went_back = True
        if life is not None:
            model.happens(*life)
        if work is not None:
            death, meanwhile = work
            model.work(death, partial(model.happens, *meanwhile) if meanwhile else _nothing)
    _comes_to_rest(model)


def _nothing() -> None:
    """Happens meanwhile."""


def _comes_to_rest(model: Model) -> None:
    """With working workers nothing waits for ever, and the tables say what became of each."""
    model.now = max(model.now, *(moment for chat in model.chats for moment in (model.now, *chat.written)))
    while not model.by_day():
        model.now += timedelta(hours=1)
    model.work(None, _nothing)
    assert not model.world.waiting()
    model.schedule(1)
    model.work(None, _nothing)
    for (chat_id, number), state in model.world.followups().items():
        assert (state == "sent") == ((chat_id, number) in model.sent) or (chat_id, number) in model.died
        assert state in {"sent", "cancelled"}
