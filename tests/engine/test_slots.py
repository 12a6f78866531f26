"""The slot grammar, table by table."""

from decimal import Decimal

import pytest

from app.engine.normalise import read
from app.engine.slots import contact
from app.engine.slots.quantities import scan
from app.engine.types import PackageId, Slots
from tests.engine.talking import Visitor


def slots_after(*messages: str) -> Slots:
    visitor = Visitor()
    for message in messages:
        visitor.say(message)
    return visitor.turn.slots


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("48,5 m kw.", "48.5", "area"),
        ("150 tys", "150000", "none"),
        ("1,2 mln zł", "1200000", "money"),
        ("1 mln 200 tys zł", "1200000", "money"),
        ("ćwierć miliona", "250000", "none"),
        ("półtora miliona złotych", "1500000", "money"),
        ("sto dwadzieścia pięć metrów", "125", "area"),
        ("trzysta tysięcy pięćset", "300500", "none"),
        ("1500 zł za metr", "1500", "rate"),
        ("700 sq ft", "700", "sqft"),
        ("30 000 euro", "30000", "foreign"),
        ("6 tygodni", "6", "other"),
    ],
)
def test_numbers_are_read_with_scale_and_unit(text: str, value: str, unit: str) -> None:
    [quantity] = scan(read(text).folded, read(text).signs)
    assert (quantity.value, quantity.unit) == (Decimal(value), unit)


@pytest.mark.parametrize("text", ["o 17:30", "12.03.2026", "80-180 Gdańsk", "pokój 3 x 4 m"])
def test_times_dates_codes_and_dimensions_are_no_quantities(text: str) -> None:
    assert scan(read(text).folded, read(text).signs) == []


@pytest.mark.parametrize(
    ("text", "area"),
    [
        ("mam 52m2", "52"),
        ("metraż 60", "60"),
        ("60-metrowe mieszkanie", "60"),
        ("mieszkanie 60 m2 z balkonem 8 m2", "60"),
        ("mieszkanie 70 m², łazienka 5 m2", "70"),
        ("60 m2, a nie 50 m2", "60"),
        ("dom 140 metrów kwadratowych", "140"),
    ],
)
def test_the_area_is_the_home_not_its_rooms(text: str, area: str) -> None:
    assert slots_after(text).area_m2 == Decimal(area)


@pytest.mark.parametrize("text", ["sama łazienka 5 m2", "5000 m2", "2 m2", "za 3 tygodnie", "piętro 12", "rok 2026"])
def test_what_is_no_home_sets_no_area(text: str) -> None:
    assert slots_after(text).area_m2 is None


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("budżet 150 tys", 150_000),
        ("mam 200 tysięcy złotych", 200_000),
        ("do 100k", 100_000),
        ("dysponuję kwotą 90 000 zł", 90_000),
        ("budżet 120", 120_000),
        ("120 tys to mój limit", 120_000),
        ("premium kosztuje 100 000 zł?", None),
        ("dostanę rabat 20 000 zł?", None),
        ("mam 20 000 euro", None),
        ("1999 zł za metr", None),
    ],
)
def test_the_budget_is_what_the_visitor_can_spend(text: str, budget: int | None) -> None:
    assert slots_after(text).budget_pln == budget


@pytest.mark.parametrize(
    ("text", "phone"),
    [
        ("691 222 333", "+48691222333"),
        ("tel.691-222-333", "+48691222333"),
        ("0048 691222333", "+48691222333"),
        ("48691222333", "+48691222333"),
        ("(58) 500 46 63", "+48585004663"),
        ("+44 7700 900123", "+447700900123"),
        ("sześć zero dwa jeden jeden jeden dwa dwa dwa", "+48602111222"),
        ("NIP 5833201699", None),
        ("PESEL 90010112345", None),
        ("250 000 000 zł", None),
        ("111 111 111", None),
    ],
)
def test_phones_are_real_numbers_in_e164(text: str, phone: str | None) -> None:
    message = read(text)
    assert contact.find(message.folded, message.clean, message.signs).phone == phone


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("Anna.Nowak@GMAIL.com.", "anna.nowak@gmail.com"),
        ("mail: jan+dom@firma.com.pl!", "jan+dom@firma.com.pl"),
        ("anna.nowak małpa wp kropka pl", "anna.nowak@wp.pl"),
        ("jan (at) o2.pl", "jan@o2.pl"),
        ("jane dot doe at gmail dot com", "jane.doe@gmail.com"),
        ("reach me at jane dot doe at gmail dot com", "jane.doe@gmail.com"),
        ("ola@żółw.pl", "ola@xn--w-uga1v8h.pl"),
        ("łukasz@wp.pl", None),
        ("zly@@example", None),
        ("jan@gmail", None),
    ],
)
def test_mail_addresses_are_typed_or_spelled(text: str, email: str | None) -> None:
    message = read(text)
    found = contact.find(message.folded, message.clean, message.signs)
    assert found.email == email
    assert found.bad_email is (email is None)


@pytest.mark.parametrize(
    ("text", "package"),
    [
        ("expres plus", "express_plus"),
        ("Express+", "express_plus"),
        ("w comforcie", "comfort"),
        ("konfort", "comfort"),
        ("pakiet waniliowy", "express"),
        ("szafran", "comfort"),
        ("pakiet luksusowy", "premium"),
        ("nie premium, tylko express", "express"),
        ("pakiet indywidualny", "individual"),
        ("express czy premium?", None),
        ("stan deweloperski, standard", None),
        ("ekspres do kawy", None),
        ("wycena indywidualna", None),
    ],
)
def test_packages_go_by_many_names(text: str, package: PackageId | None) -> None:
    assert slots_after(text).package == package


@pytest.mark.parametrize(
    ("text", "city"),
    [
        ("w gdyni", "Gdynia"),
        ("jestem z Lodzi", "Łódź"),
        ("na Mokotowie", "Warszawa"),
        ("z wawy", "Warszawa"),
        ("wrocek", "Wrocław"),
        ("Jestem z Radomska", "Radomsko"),
        ("jednak Gdynia, nie Gdańsk", "Gdynia"),
        ("wolę Comfort, mam ochotę na drewno", None),
        ("jakie marki płytek", None),
    ],
)
def test_towns_are_known_in_every_case_and_by_district(text: str, city: str | None) -> None:
    assert slots_after(text).city == city


@pytest.mark.parametrize(
    ("messages", "name"),
    [
        (["Cześć, jestem Łukasz"], "Łukasz"),
        (["jestem lukasz"], "Łukasz"),
        (["Nazywam się Jan Kowalski, mam 50 m2"], "Jan Kowalski"),
        (["My name is John Smith"], "John Smith"),
        (["Jestem Marcin", "Czekaj, to właśnie Paweł"], "Paweł"),
        (["Anna Kowalska, 600 100 200"], "Anna Kowalska"),
        (["Kowalska Anna, 600 100 200"], "Anna Kowalska"),
        (["jestem Kasia", "sorry, Katarzyna"], "Katarzyna"),
        (["sorry, Katarzyna"], None),
        (["505 112 233", "tak", "Zosia"], "Zosia"),
        (["505 112 233", "tak", "Super"], None),
        (["Zosia"], None),
        (["jestem z Radomska"], None),
        (["jestem zainteresowany"], None),
        (["I'm looking for a flat"], None),
        (["to jest drogo"], None),
    ],
)
def test_a_name_is_only_what_introduces_itself(messages: list[str], name: str | None) -> None:
    assert slots_after(*messages).name == name


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("mieszkanie", "apartment"),
        ("dom 120 m2", "house"),
        ("lokal usługowy 80 m2", "commercial"),
        ("gdzie macie biuro", None),
    ],
)
def test_the_kind_of_property_is_recognised(text: str, kind: str | None) -> None:
    assert slots_after(text).property_type == kind


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["comfort 70"], {"area_m2": 70}),
        (["express plus 48"], {"area_m2": 48, "package": "express_plus"}),
        (["63 m comfort", "sorki 36"], {"area_m2": 36}),
        (["jakie macie pakiety", "ten drugi"], {"area_m2": None}),
        (["ten square metres"], {"area_m2": 10}),
        (["64 m2", "100 000"], {"budget_pln": 100_000}),
        (["64 m2", "123456"], {"budget_pln": None}),
        (["100 000"], {"budget_pln": None}),
        (["umów mnie na czwartek", "na 12"], {"area_m2": None}),
        (["proszę o wycenę 58"], {"area_m2": 58}),
        (["Wrocław, 50 m", "a nie, Warszawa"], {"city": "Warszawa"}),
        (["Wrocław, 50 m", "nie Warszawa"], {"city": "Wrocław"}),
        (["milion milion"], {"area_m2": None}),
    ],
)
def test_what_a_bare_answer_means(messages: list[str], expected: dict[str, object]) -> None:
    slots = slots_after(*messages)
    assert {name: getattr(slots, name) for name in expected} == expected


def test_the_last_value_wins_and_nothing_is_asked_twice() -> None:
    visitor = Visitor()
    for text in ("Mam mieszkanie 50m²", "A właściwie 60m²", "Albo 55m²"):
        visitor.say(text)
    assert visitor.turn.slots.area_m2 == Decimal(55)
    assert "Ile m²" not in visitor.say("comfort").replies[0].text
