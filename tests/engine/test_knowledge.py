"""The knowledge files: what is refused, and that prices follow their dates."""

import shutil
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from app.engine.engine import Engine
from app.engine.knowledge import KnowledgeError
from app.engine.knowledge_files import DEFAULT_DIRECTORY, load
from tests.engine.talking import TUESDAY, engine


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the knowledge that a test may spoil."""
    return Path(shutil.copytree(DEFAULT_DIRECTORY, tmp_path / "knowledge"))


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_wrong_value_is_named_with_file_and_line(folder: Path) -> None:
    change(folder / "prices.yaml", "per_m2: 1199", "per_m2: -5")
    with pytest.raises(KnowledgeError, match=r"prices\.yaml, line 18: .*per_m2"):
        load(folder)


@pytest.mark.parametrize(
    ("file", "old", "new", "match"),
    [
        ("faq.yaml", "entries:", "entries: [", "faq.yaml"),
        ("faq.yaml", "topic: floor", "topic: flor", "no such topic"),
        ("faq.yaml", "- ukryt koszt|oplat", "- 'ukryt| x'", "empty stem"),
        ("packages.yaml", "most_chosen: comfort", "most_chosen: gold", "packages.yaml"),
        ("faq.yaml", "- id: floor", "- id: tiles", "more than one entry"),
        ("faq.yaml", "{warranty_months}", "{waranty_months}", "nothing fills waranty_months"),
        ("packages.yaml", "  design: {pl: Czas projektu, en: Design time}\n", "", "topics must have"),
        ("packages.yaml", "(?:waniliow", "(?:(waniliow", "no regular expression"),
        ("prices.yaml", "up_to: 1000, package: express", "up_to: 1000, package: gold", "no such package gold"),
        ("firm.yaml", "Europe/Warsaw", "Europe/Warszawa", "firm.yaml, line 1: timezone: no time zone"),
        ("firm.yaml", "closes: 14", "closes: 4", "opens must be before closes"),
        ("firm.yaml", "  mail:", "  post:", "needs mail"),
        ("templates.yaml", "{mail}", "{post}", "nothing fills post"),
        ("templates.yaml", "  greeting:", "  greetings:", "no sentence is called 'greetings'"),
        ("prices.yaml", "  - {package: comfort, valid_from: 2026-01-01, per_m2: 1499}\n", "", "no price row"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(folder: Path, file: str, old: str, new: str, match: str) -> None:
    change(folder / file, old, new)
    with pytest.raises(KnowledgeError, match=match):
        load(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "cities.yaml").unlink()
    with pytest.raises(KnowledgeError, match=r"cities\.yaml"):
        load(folder)


def test_a_new_price_counts_from_its_first_day(folder: Path) -> None:
    path = folder / "prices.yaml"
    with path.open("a", encoding="utf-8") as file:
        file.write("  - {package: premium, valid_from: 2027-01-01, per_m2: 2099}\n")
    changed = Engine.load(folder)
    before, after = datetime(2026, 12, 31, 12, tzinfo=UTC), datetime(2027, 1, 1, 12, tzinfo=UTC)
    totals = [
        changed.quote(area_m2=Decimal(52), package="premium", locale="pl", now=now).total_pln for now in (before, after)
    ]
    assert totals == [Decimal("103948.00"), Decimal("109148.00")]


def test_a_day_begins_where_the_firm_is(folder: Path) -> None:
    with (folder / "prices.yaml").open("a", encoding="utf-8") as file:
        file.write("  - {package: premium, valid_from: 2027-01-01, per_m2: 2099}\n")
    changed = Engine.load(folder)
    midnight = datetime(2026, 12, 31, 23, tzinfo=UTC)
    for now, price in ((midnight - timedelta(minutes=1), 1999), (midnight, 2099)):
        quote = changed.quote(area_m2=Decimal(50), package="premium", locale="pl", now=now)
        assert quote.price_per_m2 == price


@pytest.mark.parametrize("area", ["9.99", "1000.01", "-5", "NaN", "Infinity"])
def test_an_area_outside_the_limits_is_refused(area: str) -> None:
    with pytest.raises(ValueError, match="area must be between"):
        engine().quote(area_m2=Decimal(area), package="express", locale="pl", now=TUESDAY)


def test_the_greeting_says_that_no_person_answers() -> None:
    assert "nie człowiek" in engine().greeting("pl", TUESDAY).disclosure
    assert "not a person" in engine().greeting("en", TUESDAY).disclosure


def test_packages_are_listed_from_the_cheapest() -> None:
    facts = engine().packages("en", TUESDAY)
    assert [fact.id for fact in facts] == ["express", "express_plus", "comfort", "premium", "individual"]
    assert [fact.id for fact in facts if fact.most_chosen] == ["comfort"]
    assert facts[-1].price_per_m2_max == Decimal(5000)
