"""What a notice says in Slack and on the board, and that no text in it breaks or enters anything."""

from dataclasses import replace
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from app.devstack.sink.block_kit import check
from app.devstack.sink.board import Board
from app.devstack.sink.slack_html import message as as_slack_shows_it
from tests.worker.channels.support import NOTICE, minutes_ago, with_envelope
from tests.worker.channels.test_channel_contents import mrkdwn, strings, texts
from worker.channels.monday_item import column_ids, column_values, item_name
from worker.channels.slack_message import render

hostile_notices = st.builds(
    lambda **changes: replace(NOTICE, **changes),
    title=texts,
    text=texts,
    facts=st.lists(st.tuples(texts, texts), max_size=25).map(tuple),
    items=st.lists(st.lists(texts, max_size=5).map(tuple), max_size=40).map(tuple),
    more=st.integers(0, 1000),
    what_to_do=st.lists(st.one_of(texts, texts.map(lambda text: f"Run `{text}` now.")), max_size=20).map(tuple),
    envelope=st.sampled_from([NOTICE.envelope, replace(NOTICE.envelope, ambiguous_since=minutes_ago(1))]),
)


def test_the_slack_message_says_what_happened_and_what_to_do() -> None:
    payload = render(NOTICE)
    said = "\n".join(strings(payload["blocks"]))
    for part in (
        "3 alerts could not be delivered",
        "Slack refuses every message since 10:02.\nNothing is lost",
        "Channel: slack",
        "Error: no_service",
        "```Alert     Lead      Error\na1e27001  1ead0001  no_service\na1e27003  1ead0003  no_service```\n… and 1 more",
        "*What to do*\n1. Make a new webhook and set SLACK_WEBHOOK_URL.\n2. Run `novahouse alerts",
        "2026-11-24 10:15 CET · notice `0071ce01` · alert `a1e27002`",
    ):
        assert part in said
    assert payload["text"] == "3 alerts could not be delivered"
    assert "repeat" not in said


def test_a_possible_repeat_of_a_notice_is_marked() -> None:
    payload = render(with_envelope(NOTICE, ambiguous_since=minutes_ago(1)))
    assert payload["text"] == "3 alerts could not be delivered (possible repeat)"
    assert any("possible repeat" in text for text in mrkdwn(payload))


def test_a_bare_notice_is_a_whole_message() -> None:
    bare = replace(NOTICE, facts=(), items=(), more=0, what_to_do=(), title="Test message", text="It works.")
    payload = render(bare)
    check(payload)
    assert [block["type"] for block in payload["blocks"]] == ["header", "section", "context"]
    check(render(replace(bare, title="", text="")))
    assert item_name(replace(bare, title="")) == "Notice 0071ce01"


def test_rows_that_do_not_fit_are_counted() -> None:
    rows = tuple((f"{number:08}", "x" * 30) for number in range(200))
    payload = render(replace(NOTICE, items=(("Alert", "Why"), *rows), more=5))
    check(payload)
    [table] = [block["text"]["text"] for block in payload["blocks"] if "```" in str(block)]
    shown = table.count("\n") - 1
    assert 20 < shown < 200
    assert table.endswith(f"\n… and {200 - shown + 5} more")


@given(notice=hostile_notices)
def test_no_text_of_a_notice_breaks_or_enters_the_slack_message(notice: Any) -> None:
    payload = orjson.loads(orjson.dumps(render(notice)))
    check(payload)
    for text in strings(payload):
        assert "<" not in text
    shown = as_slack_shows_it(payload)
    assert "s-mention" not in shown
    assert "<a " not in shown
    tables = [text for text in strings(payload) if text.startswith("```")]
    assert all(table.count("`") == 6 for table in tables)


@given(notice=hostile_notices)
def test_no_text_of_a_notice_makes_monday_refuse_the_item(notice: Any) -> None:
    values = column_values(notice, column_ids({}))
    Board("1", {}).create("1", item_name(notice), values)
    assert set(orjson.loads(values)) <= {"alert_id", "last_words"}
