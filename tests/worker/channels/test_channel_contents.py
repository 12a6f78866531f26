"""What a salesperson gets to read, and that no visitor's text can be more than text."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.devstack.sink.block_kit import check
from app.devstack.sink.board import Board
from tests.worker.channels.support import ALERT, minutes_ago, with_envelope
from worker.channels import wording
from worker.channels.monday_item import DEFAULT_COLUMNS, column_ids, column_values, item_name
from worker.channels.slack_blocks import escape_within
from worker.channels.slack_message import render

HOSTILE = [
    "<!channel>",
    "<!here|x>",
    "<@U123>",
    "<http://evil.example|click>",
    "*bold* _it_ ~s~ `c` ```x```",
    "&lt;!channel&gt; &amp;",
    "\x00\x01\x7f\u202etxet\u2066",
    "\ud800 lone \udc00",
    "\U0001f600" * 3000,
    "<" * 5000,
    '"}]} {"query": "mutation"}',
    "\n\n> quote\r\n",
    " ",
    "",
]
texts = st.one_of(st.sampled_from(HOSTILE), st.text(st.characters(codec=None), max_size=400))
optional_texts = st.one_of(st.none(), texts)
decimals = st.one_of(st.none(), st.decimals(min_value=0, max_value=10**8, places=2))
hostile_changes = st.fixed_dictionaries(
    {
        "name": optional_texts,
        "phone": optional_texts,
        "email": optional_texts,
        "city": optional_texts,
        "property_type": optional_texts,
        "package_name": optional_texts,
        "language": texts,
        "last_words": texts,
        "area_m2": decimals,
        "quote_pln": decimals,
        "budget_pln": st.one_of(st.none(), st.integers(0, 10**12)),
        "score": st.integers(0, 100),
        "envelope": st.sampled_from([ALERT.envelope, replace(ALERT.envelope, ambiguous_since=minutes_ago(1))]),
        "consent_marketing": st.booleans(),
        "hot": st.booleans(),
        "call_within_hours": st.sampled_from([None, 1, 24]),
    }
)


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return []


def mrkdwn(payload: dict[str, Any]) -> list[str]:
    objects = [field for block in payload["blocks"] for field in [*block.get("fields", []), *block.get("elements", [])]]
    return [entry["text"] for entry in objects if entry["type"] == "mrkdwn"]


@pytest.mark.parametrize(
    ("score", "hours", "call"), [(85, 1, "*Zadzwoń w ciągu godziny.*"), (55, 24, "*Zadzwoń w ciągu 24 godzin.*")]
)
def test_a_hot_lead_says_why_and_how_soon_to_call(score: int, hours: int, call: str) -> None:
    payload = render(replace(ALERT, hot=True, score=score, call_within_hours=hours, budget_pln=None, email=None))
    assert payload["text"].startswith(f"Gorący lead: Jan Kowalski · {score}/100")
    (why,) = [text for text in strings(payload["blocks"]) if "Wynik" in text]
    assert call in why
    assert f"Wynik {score}/100. Wiemy już: imię, telefon, miasto, metraż, pakiet." in why


def test_a_lead_that_cooled_since_says_no_hurry() -> None:
    said = "\n".join(strings(render(replace(ALERT, hot=True, score=40, call_within_hours=None))["blocks"]))
    assert "Zadzwoń" not in said


def test_the_slack_message_says_what_sales_needs() -> None:
    payload = render(ALERT)
    said = "\n".join(strings(payload["blocks"]))
    for fact in (
        "Nowy lead: Jan Kowalski · 85/100",
        "<tel:+48691222333|+48 691 222 333>",
        "<mailto:jan.kowalski@example.com|jan.kowalski@example.com>",
        "103 948 zł (orientacyjnie)",
        "Pakiet: Premium",
        "Metraż: 52 m²",
        "Miasto: Warszawa",
        "Nieruchomość: mieszkanie",
        "Budżet: 120 000 zł",
        "zgoda na kontakt; marketing: nie",
        "„Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333”",
        "język: pl",
        "24.11.2026 10:15",
        "a1e27001",
        "1ead0001",
        "c0de0001",
    ):
        assert fact in said
    assert payload["text"] == "Nowy lead: Jan Kowalski · 85/100 · +48691222333"
    assert "powtórzenie" not in said


def test_a_possible_repeat_is_marked_in_message_and_notification() -> None:
    payload = render(with_envelope(ALERT, ambiguous_since=minutes_ago(1)))
    assert "możliwe powtórzenie" in payload["text"]
    assert any("możliwe powtórzenie" in text for text in mrkdwn(payload))


def test_what_is_unknown_is_left_out() -> None:
    bare = replace(
        ALERT, name=None, email=None, city=None, property_type=None, area_m2=None, package=None, package_name=None,
        budget_pln=None, quote_pln=None, last_words="",
    )  # fmt: skip
    said = "\n".join(strings(render(bare)))
    assert "None" not in said
    assert "Wycena" not in said
    values = orjson.loads(column_values(bare, column_ids({})))
    assert set(values) == {
        "phone", "score", "consent", "language", "captured_at", "lead_id", "conversation_id", "alert_id",
    }  # fmt: skip
    assert item_name(bare) == "Lead 1ead0001"


def test_monday_gets_each_field_in_its_columns_format() -> None:
    assert orjson.loads(column_values(ALERT, column_ids({"city": "miasto", "budget_pln": ""}))) == {
        "phone": {"phone": "+48691222333", "countryShortName": "PL"},
        "email": {"email": "jan.kowalski@example.com", "text": "jan.kowalski@example.com"},
        "miasto": "Warszawa",
        "property_type": "mieszkanie",
        "area": "52",
        "package": "Premium",
        "quote": "103948",
        "score": "85",
        "consent": "zgoda na kontakt; marketing: nie",
        "language": "pl",
        "captured_at": {"date": "2026-11-24", "time": "09:15:30"},
        "last_words": {"text": "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333"},
        "lead_id": "0197c0de-0000-7000-8000-00001ead0001",
        "conversation_id": "0197c0de-0000-7000-8000-0000c0de0001",
        "alert_id": "0197c0de-0000-7000-8000-0000a1e27001",
    }


def test_columns_that_would_lose_data_are_refused() -> None:
    with pytest.raises(ValueError, match="no field 'phon'"):
        column_ids({"phon": "x"})
    with pytest.raises(ValueError, match="share one column"):
        column_ids({"phone": "email"})


def test_default_column_ids_can_be_created_on_a_board() -> None:
    for column in DEFAULT_COLUMNS.values():
        assert 1 <= len(column) <= 20
        assert column.replace("_", "").isalpha()
        assert column == column.lower()


@given(changes=hostile_changes)
def test_no_text_of_a_visitor_breaks_or_enters_the_slack_message(changes: dict[str, Any]) -> None:
    payload = orjson.loads(orjson.dumps(render(replace(ALERT, **changes))))
    check(payload)
    for text in strings(payload):
        assert "<!" not in text
        assert "<@" not in text
        assert "<#" not in text
        assert "<http" not in text
    assert len(payload["blocks"]) <= 50
    allowed = {"Telefon", "E-mail", "Wycena"}
    for text in mrkdwn(payload):
        first = text.split("\n")[0].strip("*")
        assert first in allowed or text.startswith((":repeat:", ":white_check_mark:", "język: "))


@given(changes=hostile_changes)
def test_no_text_of_a_visitor_makes_monday_refuse_the_item(changes: dict[str, Any]) -> None:
    alert = replace(ALERT, **changes)
    Board("1", {}).create("1", item_name(alert), column_values(alert, column_ids({})))


@given(text=st.text(st.characters(codec="utf-8"), max_size=300), limit=st.integers(1, 120))
def test_escaped_text_keeps_its_limit_and_is_never_cut_inside_an_entity(text: str, limit: int) -> None:
    escaped = escape_within(text, limit)
    assert wording.width(escaped) <= limit
    undone = escaped.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    assert undone == text or (undone.endswith("…") and text.startswith(undone[:-1]))


@given(text=st.text(st.characters(codec=None), max_size=300), limit=st.integers(1, 120), lines=st.booleans())
def test_plain_text_is_always_encodable_short_and_without_controls(text: str, limit: int, lines: bool) -> None:
    harmless = wording.plain(text, limit, lines=lines)
    harmless.encode("utf-8")
    assert wording.width(harmless) <= limit
    assert not any(ord(character) < 32 and not (lines and character == "\n") for character in harmless)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Decimal("103948.00"), "103 948 zł"),
        (Decimal("1999.5"), "1 999,50 zł"),
        (120000, "120 000 zł"),
        (0, "0 zł"),
    ],
)
def test_money_is_written_the_polish_way(value: Decimal | int, shown: str) -> None:
    assert wording.money(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(Decimal("52.50"), "52,5"), (Decimal("100.00"), "100"), (Decimal(1250), "1 250")]
)
def test_numbers_are_written_the_polish_way(value: Decimal, shown: str) -> None:
    assert wording.number(value) == shown


@pytest.mark.parametrize(
    ("phone", "country"),
    [("+48691222333", "PL"), ("+4915123456789", "DE"), ("+80012345678", "PL"), ("+999999999", "PL")],
)
def test_the_flag_beside_a_number_is_its_countrys_or_ours(phone: str, country: str) -> None:
    assert wording.phone_country(phone) == country
