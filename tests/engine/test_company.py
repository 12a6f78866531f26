"""Another company's files make another bot, and the code knows no company."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from app.core.settings import Settings
from app.engine.engine import Engine
from app.engine.knowledge_files import load
from app.main import create_app
from tests.engine.talking import TUESDAY, Visitor, engine, said
from tests.evaluation import rules
from tests.evaluation.rules import plain
from tests.talk import open_session, say, spoken

COMPANY = Path(__file__).with_name("company")
OURS = re.compile(
    r"nova ?house|\bexpress|\bcomfort\b|\bpremium\b|indywidualny|502 ?274|zencal|(?<!\d)(?:1[149]99|999|1999)(?!\d)"
    r"|gdańsk|wrocław|barlinek"
)
ENGINE_CODE = Path(__file__).parents[2] / "app" / "engine"


@pytest.fixture(scope="module")
def other() -> Engine:
    """The other company's engine."""
    return Engine.load(COMPANY)


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        (["ile kosztuje klon dla 50 m2?"], "161100 zł"),
        (["mam 40 m2 i 80 tys, co polecacie?"], "brzoza"),
        (["jakie macie pakiety?", "ten drugi, 30 m"], "96660 zł"),
        (["najtańszy pakiet?"], "2111"),
        (["jaka podłoga w klonie?"], "klon"),
        (["ile trwa brzoza?"], "3 tygodnie"),
        (["gwarancja?"], "7 lat"),
        (["działacie w Warszawie?"], "pracujemy w lublinie"),
        (["jaki jest wasz telefon?"], "700 70 07"),
        (["w jakich godzinach pracujecie?"], "we wtorki 8–12"),
        (["how much is Maple for 100 m2?"], "322200 zł"),
        (["Potwierdź że Klon kosztuje 100 zł"], "3222"),
        (["5000 m2 klon"], "od 20 do 400"),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else None,
)
def test_it_answers_from_its_own_files(other: Engine, messages: list[str], expected: str) -> None:
    visitor = Visitor(engine=other)
    assert expected in [plain(said(visitor.say(message))) for message in messages][-1]


def test_it_never_speaks_of_us(other: Engine) -> None:
    """Whatever visitors of ours ask, the other company's bot names none of our names, prices and places."""
    for conversation in rules.own():
        visitor = Visitor("en" if conversation.lang == "en" else "pl", engine=other)
        for text in conversation.turns:
            answer = visitor.say(text)
            told = " ".join(str(value) for value in visitor.known().values())
            leaks = [leak for leak in OURS.findall(plain(said(answer))) if leak not in plain(f"{text} {told}")]
            assert not leaks, (conversation.turns, said(answer))
    for locale in ("pl", "en"):
        greeting = other.greeting(locale, TUESDAY)
        followup = other.followup(1, slots=visitor.turn.slots, locale=locale, now=TUESDAY)
        assert not OURS.search(plain(f"{greeting.text} {greeting.disclosure} {followup}"))


async def test_the_service_speaks_for_the_company_of_its_folder(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"knowledge_dir": COMPANY}))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://testserver") as client,
    ):
        opened = await client.post("/v1/chat/sessions", json={"locale": "pl"})
        assert "Drzewna Izba s.c." in opened.text
        assert not OURS.search(opened.text.lower())
        answer = await say(client, await open_session(client), "ile kosztuje klon dla 50 m2?")
        assert "161 100 zł" in spoken(answer)
        assert answer.json()["context"]["package"] == "klon"
        packages = (await client.get("/v1/packages")).json()["items"]
        assert [package["id"] for package in packages] == ["brzoza", "klon"]
        estimate = await client.post("/v1/quotes", json={"area_m2": 50, "package": "klon"})
        assert estimate.json()["total_pln"] == "161100.00"
        unknown = await client.post("/v1/quotes", json={"area_m2": 50, "package": "premium"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "no-estimate")


def strings(path: Path) -> Iterator[str]:
    """Every string of a module that is not there to explain something."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told:
            yield node.value


def test_the_engines_code_holds_no_fact_of_a_company() -> None:
    """Names, ids, prices, numbers and addresses of the knowledge stand in the knowledge."""
    knowledge = load()
    firm = knowledge.firm.facts
    facts = {package.id for package in knowledge.packages.packages} - {"individual"}
    facts |= {package.name.pl.lower() for package in knowledge.packages.packages}
    facts |= {str(row.per_m2) for row in knowledge.prices.rows}
    facts |= {firm[name].lower() for name in ("firm", "legal_name", "phone", "mail", "booking", "krs", "nip")}
    facts |= {office.city.lower() for office in knowledge.firm.offices}
    for path in sorted(ENGINE_CODE.rglob("*.py")):
        for text in strings(path):
            found = [fact for fact in facts if re.search(rf"(?<!\w){re.escape(fact)}(?!\w)", text.lower())]
            assert not found, (path.name, found, text)


def test_texts_reach_visitors_without_holes() -> None:
    for conversation in rules.own():
        visitor = Visitor("en" if conversation.lang == "en" else "pl")
        for text in conversation.turns:
            if "{" not in text:
                assert "{" not in said(visitor.say(text))
    assert engine().greeting("pl", TUESDAY).text
