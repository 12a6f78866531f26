"""Visitors, runs of the job and a clock in any order, beside a model of who is nudged and closed when."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.consent.service import Texts
from app.conversations import consents, repository, service
from app.conversations.consents import Reach
from app.conversations.service import Chat
from app.core import clock
from app.core.db import Database
from app.core.keys import KeyRing
from app.core.settings import Settings
from tests.conversations import quiet
from tests.conversations.quiet import ENGINE, QUESTION, USUAL

START = datetime(2026, 11, 26, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CHATS = 3


@dataclass
class Window:
    """What the model knows of one conversation."""

    id: UUID
    token_hash: bytes
    quiet_since: datetime
    said: int = 0
    answered: int = 0
    """Of that, by the bot: it is silent while a person has the chat."""
    nudged_after: int = 0
    nudges: int = 0
    state: str = "open"
    refused: bool = False
    erased: bool = False


class World:
    """The real thing, driven by a clock that the test moves."""

    def __init__(self, url: str) -> None:
        self._runner = asyncio.Runner()
        self._url = Settings(database_url=url).database_url
        self._runner.run(self._start())

    async def _start(self) -> None:
        self._database = Database(self._url, pool_size=6)
        async with self._database.transaction() as session:
            texts = await Texts.load(session)
        self._chat = Chat(self._database, ENGINE, texts, Reach(KeyRing("secret"), (), hot_score=80))

    def close(self) -> None:
        """Give connections back."""
        self._runner.run(self._database.dispose())
        self._runner.close()

    def begin(self, now: datetime) -> list[Window]:
        """Nobody was here before; then visitors open their windows."""

        async def begun() -> list[Window]:
            async with self._database.driver() as sql:
                await sql.execute("DELETE FROM chat_conversations")
            windows = []
            for _ in range(CHATS):
                async with self._database.transaction() as session:
                    opened = await service.open_session(session, self._chat, locale="pl")
                token_hash = service.hash_token(opened["session_token"])
                windows.append(Window(opened["session_id"], token_hash, now))
            async with self._database.driver() as sql:
                await sql.execute("UPDATE chat_conversations SET last_message_at = $1", now)
            return windows

        return self._runner.run(begun())

    def says(self, window: Window) -> str:
        """The visitor asks something; gives the state that the answer tells."""
        said = service.say(self._chat, token_hash=window.token_hash, text=QUESTION, client_message_id=None, origin=None)
        return str(self._runner.run(said).body["state"])

    def refuses(self, window: Window) -> None:
        """The visitor refuses to be contacted."""

        async def refused() -> None:
            async with self._database.transaction() as session:
                await repository.lock_by_token(session, window.token_hash)
                await consents.decide(
                    session,
                    self._chat.reach,
                    conversation_id=window.id,
                    purpose="rodo",
                    granted=False,
                    surface="api",
                    seen=None,
                )

        self._runner.run(refused())

    def sets(self, window: Window, state: str | None) -> None:
        """A person takes the chat over or gives it back; None: it is erased."""

        async def done() -> None:
            async with self._database.driver() as sql:
                if state is None:
                    await sql.execute("DELETE FROM chat_conversations WHERE id = $1", window.id)
                else:
                    await sql.execute("UPDATE chat_conversations SET state = $2 WHERE id = $1", window.id, state)

        self._runner.run(done())

    def run(self, now: datetime, workers: int) -> int:
        """So many workers run the job at once; gives what they did together."""

        async def all_of_them() -> int:
            return sum(await asyncio.gather(*(quiet.run(self._database, USUAL, now=now) for _ in range(workers))))

        return self._runner.run(all_of_them())

    def look(self) -> dict[UUID, Any]:
        """What the tables say."""

        async def looked() -> dict[UUID, Any]:
            async with self._database.driver() as sql:
                rows = await sql.fetch(
                    "SELECT c.id, c.state, c.last_message_at, c.last_seq, count(*) AS messages, max(m.seq) AS newest, "
                    "count(*) FILTER (WHERE role = 'visitor') AS said, "
                    "count(*) FILTER (WHERE role = 'bot') AS answered "
                    "FROM chat_conversations c JOIN chat_messages m ON m.conversation_id = c.id GROUP BY c.id"
                )
            return {row["id"]: row for row in rows}

        return self._runner.run(looked())


def job(windows: list[Window], now: datetime) -> int:
    """What a run has to do, in the plainest words; does it to the model."""
    done = 0
    for window in windows:
        quiet_for = now - window.quiet_since
        if window.erased or window.state != "open":
            continue
        if quiet_for >= 30 * MINUTE:
            window.state = "closed"
            done += 1
        elif quiet_for >= 15 * MINUTE and window.said > window.nudged_after and not window.refused:
            window.nudged_after = window.said
            window.nudges += 1
            done += 1
    return done


@pytest.fixture(scope="module")
def world(migrated_url: str) -> Iterator[World]:
    """The real thing."""
    made = World(migrated_url)
    yield made
    made.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("time"), st.sampled_from([1, 1, 5, 10, 14, 15, 16, 30, 31, 120, -3])),
        st.tuples(st.just("run"), st.sampled_from([1, 1, 2, 3])),
        st.tuples(
            st.sampled_from(["says", "says", "says", "refuses", "handoff", "open", "erased"]),
            st.integers(0, CHATS - 1),
        ),
    ),
    min_size=5,
    max_size=25,
)


@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_each_is_nudged_and_closed_when_it_should_be(world: World, steps: list[tuple[str, int]]) -> None:
    now = START
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: now)
        windows = world.begin(now)
        for what, number in steps:
            match what:
                case "time":
                    now += number * MINUTE
                case "run":
                    assert world.run(now, number) == job(windows, now)
                case _ if windows[number].erased:
                    continue
                case "says":
                    window = windows[number]
                    window.state = "open" if window.state == "closed" else window.state
                    assert world.says(window) == window.state
                    window.said += 1
                    window.answered += window.state == "open"
                    window.quiet_since = now
                case "refuses":
                    world.refuses(windows[number])
                    windows[number].refused = True
                case "erased":
                    world.sets(windows[number], None)
                    windows[number].erased = True
                case state:
                    world.sets(windows[number], state)
                    windows[number].state = state
        _agree(world.look(), windows)


def _agree(found: dict[UUID, Any], windows: list[Window]) -> None:
    """The tables say what the model says, and no message is missing or out of order."""
    assert set(found) == {window.id for window in windows if not window.erased}
    for window in windows:
        if window.erased:
            continue
        row = found[window.id]
        assert (row["state"], row["last_message_at"]) == (window.state, window.quiet_since)
        assert row["messages"] == row["last_seq"] == row["newest"]
        assert row["said"] == window.said
        assert row["answered"] == 1 + window.answered + window.nudges
