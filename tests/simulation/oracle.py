"""Who may get what when, in the plainest words, and whether what the mailbox saw agrees.

It shares nothing with the service but the instants: consents are what visitors were told was recorded, hours and
delays are written down here once more. A change that is under way counts as either; one that was confirmed counts
after GRACE, the time that a mail may take from the guard to the mailbox.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from typing import Final
from uuid import UUID
from zoneinfo import ZoneInfo

from tests.chaos.stack import History
from tests.simulation.lives import Kind, Life
from tests.simulation.mailbox import Attempt

DELAYS: Final = (timedelta(hours=24), timedelta(hours=72), timedelta(hours=168))
DAY: Final = timedelta(days=1)
GRACE: Final = timedelta(seconds=5)
PROMPT: Final = timedelta(minutes=20)
"""A mail that takes longer than that, and is not kept until the morning, was in trouble."""
SETTLE: Final = timedelta(seconds=3)
"""How long after an answer its settlement may take while nothing is wrong."""
_WARSAW: Final = ZoneInfo("Europe/Warsaw")
_SUNDAY: Final = 7
_NEVER: Final = datetime.min.replace(tzinfo=UTC)
_FOREVER: Final = datetime.max.replace(tzinfo=UTC)


def by_day(moment: datetime) -> bool:
    """Whether people may be written to at this instant."""
    local = moment.astimezone(_WARSAW)
    return local.isoweekday() != _SUNDAY and time(9) <= local.time() < time(20)


@dataclass(frozen=True, slots=True)
class Span:
    """When something happened, from its request to its answer."""

    began: datetime
    ended: datetime


@dataclass(frozen=True, slots=True)
class Row:
    """What the service says of one follow-up."""

    id: UUID
    conversation_id: UUID
    number: int
    state: str
    reason: str | None
    created_at: datetime
    closed_at: datetime | None
    doubtful_at: datetime | None
    """When an attempt ended last of which nobody knows whether it arrived."""


@dataclass(slots=True)
class Chat:
    """What is true of one conversation."""

    life: Life
    id: UUID
    marketing: bool = False
    rodo: bool = True
    free: bool = True
    """Nobody of sales is at it."""
    listed: bool = False
    """Its address was unsubscribed; nobody here follows the link that a new consent then needs."""
    words: list[Span] = field(default_factory=list)
    """The visitor's messages."""
    welcomes: list[tuple[Span, bool]] = field(default_factory=list)
    """Changes of whether they may be written to, and to what."""
    story: list[tuple[datetime, str]] = field(default_factory=list)

    def changed(self, span: Span) -> None:
        """Note what follows from the present facts."""
        self.welcomes.append((span, self.marketing and self.rodo and self.free and not self.listed))

    def welcome(self, since: datetime, until: datetime) -> set[bool]:
        """The answers to whether they may be written to, in this time."""
        began, answer, found = _NEVER, False, set()
        for span, after in self.welcomes:
            if began <= until and since <= span.ended:
                found.add(answer)
            began, answer = span.began, after
        if began <= until:
            found.add(answer)
        return found


@dataclass(frozen=True, slots=True)
class Wrong:
    """Something that must not be."""

    kind: str
    chat: Chat | None
    what: str


class Oracle:
    """Watches one simulation."""

    def __init__(self, history: History) -> None:
        self.chats: dict[int, Chat] = {}
        self.by_id: dict[UUID, Chat] = {}
        self.people: dict[str, list[Chat]] = defaultdict(list)
        self.wrong: list[Wrong] = []
        self.explained: list[str] = []
        self.rows: dict[UUID, Row] = {}
        self.due = 0
        """How often somebody was due when a schedule had run."""
        self.late = 0
        """How often somebody who was due had to wait for the next cron."""
        self.troubles: list[Span] = []
        """When the mailbox treated everybody badly."""
        self._history = history
        self._in_vain: dict[str, list[datetime]] = {}
        self._last_asked: dict[str, Attempt] = {}

    def came(self, chat: Chat) -> None:
        """A conversation has begun."""
        self.chats[chat.life.number] = self.by_id[chat.id] = chat
        chat.listed = any(other.listed for other in self.people[chat.life.person])
        self.people[chat.life.person].append(chat)

    def happened(self, chat: Chat, kind: Kind, span: Span) -> None:
        """Something happened to a conversation, or to a person by way of one."""
        chat.story.append((span.began, kind.value))
        concerned = [chat]
        match kind:
            case Kind.WRITES:
                chat.words.append(span)
                return
            case Kind.AGREES | Kind.WITHDRAWS:
                chat.marketing = kind is Kind.AGREES
            case Kind.PERMITS | Kind.FORBIDS:
                chat.rodo = kind is Kind.PERMITS
            case Kind.TAKEN | Kind.BOOKED | Kind.FREED:
                chat.free = kind is Kind.FREED
            case _:
                concerned = self.people[chat.life.person]
                for other in concerned:
                    other.marketing, other.listed = False, True
                    if other is not chat:
                        other.story.append((span.began, f"{kind.value} in conversation {chat.life.number}"))
        for other in concerned:
            other.changed(span)

    def after(self, began: datetime, rows: Sequence[Row], touched: set[str], *, next_cron: bool) -> bool:
        """A moment is over, which began then; these follow-ups exist; of these people something was changed.

        False, and nothing noted, when somebody was due and is still without: the next cron may do it, since a run
        passes by a conversation that another is at. With `next_cron` that has been, and they were missed.
        """
        missed = list(self._missed(began, rows, touched))
        if missed and not next_cron:
            self.late += 1
            return False
        for chat in missed:
            self._is_wrong("missed", chat, f"was due at {_clock(began)}, and nothing was written")
        before, self.rows = self.rows, {row.id: row for row in rows}
        for row in rows:
            if row.id not in before:
                self._may(row, rows)
        return True

    def _missed(self, began: datetime, rows: Sequence[Row], touched: set[str]) -> Iterator[Chat]:
        """A conversation of everybody who was due then and to whom nothing was written since."""
        if not (by_day(began) and by_day(began + timedelta(minutes=1))):
            return
        by_person: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            by_person[self.by_id[row.conversation_id].life.person].append(row)
        for person, chats in self.people.items():
            written = by_person[person]
            earlier = [row for row in written if row.created_at < began]
            if person in touched or any(row.closed_at is None or row.closed_at >= began for row in earlier):
                continue
            left = [moment for row in earlier for moment in _moments(row)]
            due = [chat for chat in chats if self._is_due(chat, began, earlier, left)]
            self.due += bool(due)
            if due and len(written) == len(earlier):
                yield due[0]

    @staticmethod
    def _is_due(chat: Chat, at: datetime, earlier: Sequence[Row], left: Sequence[datetime]) -> bool:
        number = max((row.number for row in earlier if row.conversation_id == chat.id), default=0)
        return (
            number < len(DELAYS)
            and bool(chat.words)
            and max(word.ended for word in chat.words) + DELAYS[number] <= at
            and chat.welcome(at - GRACE, at + GRACE) == {True}
            and all(moment + DAY <= at for moment in left)
        )

    def _may(self, row: Row, rows: Sequence[Row]) -> None:
        """One that was written: was it due?"""
        chat, at = self.by_id[row.conversation_id], row.created_at
        chat.story.append((at, f"number {row.number} is written"))
        others = [other for other in rows if self.by_id[other.conversation_id].life.person == chat.life.person]
        mine = [other.number for other in others if other.conversation_id == chat.id and other.created_at < at]
        words = [word for word in chat.words if word.began <= at - GRACE]
        if not by_day(at):
            self._is_wrong("in quiet hours", chat, f"number {row.number} was written at {_clock(at)}")
        if True not in chat.welcome(at - GRACE, at + GRACE):
            self._is_wrong("without consent", chat, f"number {row.number} was written at {_clock(at)}")
        if sorted(mine) != list(range(1, row.number)):
            self._is_wrong("out of order", chat, f"number {row.number} came after {sorted(mine)}")
        if row.number > len(DELAYS) or any(word.began + DELAYS[row.number - 1] > at for word in words):
            self._is_wrong("too early", chat, f"number {row.number} was written at {_clock(at)}")
        if any(at < other.created_at + DAY for other in others if other.created_at < at or other.id < row.id):
            self._is_wrong("two in one day", chat, f"number {row.number} was written at {_clock(at)}")

    def finish(
        self, attempts: Sequence[Attempt], subjects: dict[str, UUID], in_vain: dict[str, list[datetime]]
    ) -> None:
        """Everything is over: judge what the mailbox saw. `subjects`: which follow-up an alert carries.

        `in_vain`: when a worker began to send an alert and gave up after its time limit.
        """
        self._in_vain = in_vain
        mails: dict[UUID, list[Attempt]] = defaultdict(list)
        persons: dict[str, list[Attempt]] = defaultdict(list)
        for attempt in attempts:
            persons[attempt.recipient.lower()].append(attempt)
            if not attempt.taken:
                continue
            if attempt.asks:
                self._asked(attempt)
                continue
            row = self.rows.get(subjects.get(attempt.alert, UUID(int=0)))
            if row is None:
                self._is_wrong("unknown mail", None, f"alert {attempt.alert} to {attempt.recipient}")
                continue
            mails[row.id].append(attempt)
            self._arrived(row, attempt)
        for row in self.rows.values():
            chat = self.by_id[row.conversation_id]
            got = mails[row.id]
            self._ended(row, chat, got, persons[chat.life.person])
            self._repeats(row, chat, got)
        for person, chats in self.people.items():
            self._one_a_day(chats, [attempt for attempt in persons[person] if attempt.taken and not attempt.asks])

    def _asked(self, mail: Attempt) -> None:
        """A mail that asks whether an unsubscribed address wants mails again: one a day, to nobody else."""
        chats = self.people[mail.recipient.lower()]
        earlier = self._last_asked.get(mail.recipient.lower())
        if not any(chat.listed for chat in chats):
            self._is_wrong("asked for nothing", chats[0], f"at {_clock(mail.came)}")
        if earlier and earlier.alert != mail.alert and mail.came < earlier.came + DAY:
            self._is_wrong("asked twice", chats[0], f"at {_clock(earlier.came)} and at {_clock(mail.came)}")
        self._last_asked[mail.recipient.lower()] = mail

    def _arrived(self, row: Row, mail: Attempt) -> None:
        chat, at = self.by_id[row.conversation_id], mail.came
        what = f"number {row.number} arrived at {_clock(at)}"
        chat.story.append((at, f"number {row.number}: {mail.answer} to {mail.worker}, {mail.message_id}"))
        if mail.recipient.lower() != chat.life.person:
            self._is_wrong("wrong address", chat, f"{what} at {mail.recipient}")
        if not by_day(at):
            self._is_wrong("in quiet hours", chat, what)
        if True not in chat.welcome(at - GRACE, at):
            self._is_wrong("without consent", chat, what)
        if any(row.created_at < word.began and word.ended < at - GRACE for word in chat.words):
            self._is_wrong("answered already", chat, what)

    def _ended(self, row: Row, chat: Chat, got: Sequence[Attempt], to_person: Sequence[Attempt]) -> None:
        number, taken = row.number, [attempt.came for attempt in got]
        if row.state == "sent" and not got:
            self._is_wrong("missed", chat, f"number {number} is said to be sent and never arrived")
        if row.state in {"pending", "failed"}:
            self._is_wrong("missed", chat, f"number {number} is {row.state} ({row.reason})")
        if row.state == "cancelled" and not self._had_a_reason(row, chat):
            self._is_wrong("missed", chat, f"number {number} was cancelled for nothing: {row.reason}")
        if taken and by_day(row.created_at + PROMPT) and min(taken) > row.created_at + PROMPT:
            refused = any(row.created_at <= tried.came < min(taken) and not tried.taken for tried in to_person)
            if not refused and not any(
                row.created_at <= bad.ended and bad.began <= min(taken) for bad in self.troubles
            ):
                self._is_wrong("late", chat, f"number {number} arrived at {_clock(min(taken))}, and nothing was wrong")

    @staticmethod
    def _had_a_reason(row: Row, chat: Chat) -> bool:
        spoke = any(word.ended >= row.created_at for word in chat.words)
        return spoke or False in chat.welcome(row.created_at, row.closed_at or _FOREVER)

    def _repeats(self, row: Row, chat: Chat, got: Sequence[Attempt]) -> None:
        for index, later in enumerate(got):
            for earlier in got[:index]:
                if later.message_id != earlier.message_id:
                    self._is_wrong("twice", chat, f"number {row.number} arrived as two mails")
                elif (why := self._why(earlier)) is None:
                    self._is_wrong("twice", chat, f"number {row.number} came again at {_clock(later.came)}: no reason")
                elif not later.marked:
                    self._is_wrong("twice", chat, f"number {row.number} came again and does not say so")
                else:
                    self.explained.append(why)

    def _why(self, earlier: Attempt) -> str | None:
        """Why its worker could not know, or not write down, that a mail was taken."""
        if earlier.answered_real is None:
            return "the connection was lost after the content"
        if any(began <= earlier.came <= began + GRACE for began in self._in_vain.get(earlier.alert, ())):
            return "its worker had waited for as long as it may"
        killed = self._history.killed.get(earlier.worker)
        if killed is None or earlier.came_real is None:
            return None
        within = earlier.came_real <= killed <= earlier.answered_real + SETTLE
        return "its worker was killed before it settled" if within else None

    def _one_a_day(self, chats: Sequence[Chat], taken: Sequence[Attempt]) -> None:
        first: dict[str, datetime] = {}
        for mail in taken:
            assert mail.message_id is not None
            first[mail.message_id] = min(mail.came, first.get(mail.message_id, mail.came))
        moments = sorted(first.values())
        for earlier, later in pairwise(moments):
            if later < earlier + DAY:
                self._is_wrong("two in one day", chats[0], f"at {_clock(earlier)} and at {_clock(later)}")

    def _is_wrong(self, kind: str, chat: Chat | None, what: str) -> None:
        self.wrong.append(Wrong(kind, chat, what))


def _moments(row: Row) -> Iterator[datetime]:
    yield row.created_at
    if row.state == "sent" and row.closed_at is not None:
        yield row.closed_at
    if row.doubtful_at is not None:
        yield row.doubtful_at


def _clock(moment: datetime) -> str:
    return f"{moment.astimezone(_WARSAW):%a %d %b %H:%M:%S}"


def timeline(chat: Chat) -> list[str]:
    """What happened in a conversation, a line each."""
    return [f"{_clock(at)} {what}" for at, what in sorted(chat.story)]
