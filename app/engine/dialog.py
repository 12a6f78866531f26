"""What a message wants: its acts in order, read from the sentences, the slots it changed and what was said before."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, cast, get_args

from app.engine import ellipsis, language
from app.engine.guards import Guard
from app.engine.knowledge import Entry, Wish
from app.engine.normalise import Sentence, Text, word_set
from app.engine.patterns import Pattern
from app.engine.retrieval import Hit, Retriever
from app.engine.slots.reader import Found
from app.engine.types import PackageId, Purpose

MAX_ACTS = 3
_GUARDS = frozenset(get_args(Guard))
_PURPOSES = get_args(Purpose)
_WISHES = get_args(Wish)
REPEATS = frozenset({"repeat_topic", "repeat_answer", "repeat_for_all"})
"""Acts that say again what another act said: no topic by themselves."""
_THRESHOLD = 0.95
_ALIKE = 0.62
_LEAD = 0.1
_QUESTION_WORDS = word_set(
    "ile jak jaki jaka jakie jakich kiedy czy gdzie co kto dlaczego how what when where which why who do does is "
    "are can"
)
_BEFORE_QUESTION_WORD = word_set("na od do za po w we z ze o dla to wiem about for in at of from with than so")
_ENGLISH_PERSONS = frozenset(["you", "i", "we", "they"])
_JOINS = frozenset(["i", "oraz", "a", "and", "also", "plus"])
_MAX_JOINS = 4
"""How many conjunctions of a clause are tried: a clause of nothing else would cost two searches for each."""
_PRICED = word_set(
    "partial_scope carpentry furniture installations air_conditioning out_of_offer smoothing smart_home "
    "quote_binding discount vat"
)
_ABOUT_CONSENT = word_set(
    "callback consent_info contact_info privacy discount contract booking package_list enquiry about_company opening_hours language"
)
_FRAMING = frozenset(
    {
        "callback",
        "contact_info",
        "booking",
        "privacy",
        "opening_hours",
        "enquiry",
        "property_kinds",
        "scope_included",
        "process",
    }
)
_PRICE_ACTS = frozenset(
    {
        "quote",
        "take_package",
        "recommend_package",
        "cheapest_package",
        "dearest_package",
        "popular_package",
        "compare_packages",
    }
)
_WHAT_IS_IN_IT = frozenset({"next_package", "not_included", "scope_included", "package_details", "compare_packages"})
_SUPERLATIVES = frozenset({"cheapest_package", "dearest_package", "popular_package"})
_SOCIAL = frozenset(
    {
        "greeting",
        "not_interested",
        "later",
        "no_contact_needed",
        "thanks",
        "goodbye",
        "capabilities",
        "enquiry",
        "language",
    }
)
_ACK = word_set(
    "ok okej okay oki dobra dobrze super fajnie spoko jasne rozumiem aha mhm hmm hm no tak nie yes sure great cool "
    "fine nice alright yep nope git swietnie ekstra świetnie pewnie wow haha xd lol"
)
_YES = Pattern(
    r"^ (?:no |a )?(?:tak|jasne|pewnie|oczywiscie|chetnie|poprosze|prosze|dawaj|ok|okej|dobrze|dobra|yes|sure|please|yeah|yep|of course|go ahead)\b"
)
_NOT_LATIN = re.compile(r"[\u0370-\u05ff\u0600-\u06ff\u3040-\u30ff\u4e00-\u9fff]{3}")
_HOW_MUCH = Pattern(
    r"^(?: (?:a|no|i|to|wiec|ok|and|so|then|za))* (?:ile|how much)(?: (?:to|za|razem|wyjdzie|in total|wychodzi))* $"
)
_WHICH = Pattern(
    r"^(?: (?:no|to|a|wiec|i|so|and|then))* (?:(?:ktory|jaki|which|what) (?:pakiet|wariant|package|one)|co(?: to| z tego)? (?:bedzie|wyjdzie|dostane))(?: (?:wiec|to|then|za to))* $"
)
_UNSURE = Pattern(
    r" (?:nie wiem|nie jestem pew\w*|nie mam pojecia|trudno powiedziec|zastanaw\w*|jeszcze nie wiem|i don t know|not sure|no idea|dont know|niewiem) "
)
_REPEATABLE = frozenset(
    {"quote", "take_package", "lead_time", "package_details", "cheapest_package", "recommend_package"}
)
_RENTAL = Pattern(
    r" (?:wynaj\w*(?! (?:kontener|sprzet|rusztow|aut))|najem|najmu|inwestyc\w*|flip\w*|airbnb|rental|rent|tenants?|investment|let|letting|lokator\w*) "
)
_CARRIED: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "lead_time": {"pl": ("ile", "trwa"), "en": ("how", "long")},
    "design_time": {"pl": ("ile", "trwa"), "en": ("how", "long")},
    "start_date": {"pl": ("kiedy",), "en": ("when",)},
}
"""What "and the design?" leaves out after an answer on how long things take."""
TIMED = frozenset({"booking", "callback", "opening_hours"})
"""Acts after which a number alone is an hour or a day."""
_EXTRAS = frozenset(
    {
        "carpentry",
        "furniture",
        "installations",
        "air_conditioning",
        "out_of_offer",
        "other_work",
        "smoothing",
        "smart_home",
        "partial_scope",
    }
)
STEPS = frozenset({"next_package", "discount"})
"""Acts after which the package one step away is the one talked about."""
_WOW = Pattern(
    r" (?:wow|luksus\w*|ekskluzyw\w*|efektown\w*|prestiz\w*|wysok\w* standard\w*|luxur\w*|high end|top|najwyzsz\w*) "
)


@dataclass(frozen=True, slots=True)
class State:
    """What the previous turn left behind; read from and written to plain JSON."""

    asked: str | None = None
    """The slot the last reply asked for, or "consent"."""
    purposes: tuple[Purpose, ...] = ()
    """What the consent question was about."""
    topic: str | None = None
    """The last business act, for "and Comfort?"."""
    listed: tuple[PackageId, ...] = ()
    recommended: PackageId | None = None
    offer: str | None = None
    """The act that a bare "yes" accepts."""
    language: str | None = None
    misses: int = 0
    previous: PackageId | None = None
    """The package that was chosen before the present one."""
    wish: Wish | None = None
    """What somebody without a budget said to look for."""

    @classmethod
    def load(cls, memory: Mapping[str, Any], packages: Container[PackageId]) -> "State":
        """State from an earlier answer's memory; what is missing, malformed or no package today is as if it had never been."""
        listed, wanted = memory.get("listed"), memory.get("purposes")
        previous = memory.get("previous")
        recommended, misses, language = memory.get("recommended"), memory.get("misses"), memory.get("language")
        return cls(
            asked=_text(memory.get("asked")),
            purposes=tuple(p for p in wanted if p in _PURPOSES) if isinstance(wanted, list) else (),
            topic=_text(memory.get("topic")),
            listed=tuple(p for p in listed if isinstance(p, str) and p in packages) if isinstance(listed, list) else (),
            recommended=recommended if isinstance(recommended, str) and recommended in packages else None,
            offer=_text(memory.get("offer")),
            language=language if language in ("pl", "en") else None,
            misses=misses if isinstance(misses, int) and not isinstance(misses, bool) and 0 <= misses < 100 else 0,
            previous=previous if isinstance(previous, str) and previous in packages else None,
            wish=cast("Wish", memory["wish"]) if memory.get("wish") in _WISHES else None,
        )

    def unasked(self) -> "State":
        """The same without the question and the offer that wait for an answer."""
        return replace(self, asked=None, purposes=(), offer=None)

    def dump(self) -> dict[str, Any]:
        """Plain JSON; empty fields are left out."""
        full: dict[str, Any] = {
            "asked": self.asked,
            "purposes": list(self.purposes),
            "topic": self.topic,
            "listed": list(self.listed),
            "recommended": self.recommended,
            "offer": self.offer,
            "language": self.language,
            "misses": self.misses,
            "previous": self.previous,
            "wish": self.wish,
        }
        return {key: value for key, value in full.items() if value}

    @property
    def prices(self) -> bool:
        """True when the last answer was about money: a bare number is another area then."""
        return self.topic in _REPEATABLE | _PRICE_ACTS | {"package_list", "next_package", "price_difference"}

    @property
    def subject(self) -> str | None:
        """The last act, if its answer can be given again in other words."""
        return None if self.topic in _GUARDS | REPEATS else self.topic

    @property
    def stepped(self) -> PackageId | None:
        """The package one step from the chosen one, when the last answer was about it."""
        return self.recommended if self.topic in STEPS else None


@dataclass(frozen=True, slots=True)
class Act:
    """One thing to answer. `entry` is set for what the FAQ answers; composed acts are known by `id`."""

    id: str
    entry: Entry | None = None
    about: str | None = None
    """The superlative it is asked of: `cheapest_package`, `dearest_package` or `popular_package`."""


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and len(value) < 40 else None


def clauses(sentence: Sentence) -> list[tuple[str, ...]]:
    """A sentence cut before question words, so that two questions without a full stop are two."""
    parts: list[tuple[str, ...]] = []
    start = 0
    words, commas = sentence.words, sentence.commas
    for index in range(1, len(words)):
        if words[index] not in _QUESTION_WORDS or len(words) - index < 2:
            continue
        if words[index] == "do" and words[index + 1] not in _ENGLISH_PERSONS:
            continue
        at = index - 1 if words[index - 1] in _BEFORE_QUESTION_WORD else index
        joined = words[at - 1] in _JOINS and at - start > 2
        if at in commas or joined or (at == index and index - start >= 3):
            parts.append(words[start:at])
            start = at
    parts.append(words[start:])
    return [part for part in parts if part]


def acts(text: Text, retriever: Retriever, found: Found, state: State, *, decided: bool) -> list[Act]:
    """The acts of a message, most of them in the order asked; empty when nothing was understood."""
    continued = _continued(text, retriever, found, state)
    return [continued] if continued is not None else _fresh(text, retriever, found, state, decided=decided)


def _fresh(text: Text, retriever: Retriever, found: Found, state: State, *, decided: bool) -> list[Act]:
    """The acts of a message that says by itself what it wants."""
    hits = _hits(text, retriever)
    ids = {hit.entry.id for hit in hits}
    if decided:
        hits = [hit for hit in hits if hit.entry.id not in _ABOUT_CONSENT | _SOCIAL | {"off_topic"}]
    if (
        "off_topic" in ids
        and not decided
        and not found.changed & {"area_m2", "package", "budget_pln", "phone", "email"}
    ):
        strongest = max(hits, key=lambda hit: hit.score)
        if strongest.entry.id == "off_topic" or len(ids - _SOCIAL) == 1:
            return [
                Act("off_topic", strongest.entry if strongest.entry.id == "off_topic" else _entry(hits, "off_topic"))
            ]
    listed = [Act(hit.entry.id, hit.entry, hit.about) for hit in hits if hit.entry.id != "off_topic"]
    listed = _resolve(listed, found)
    if found.home.price_claimed and found.named.packages and not _PRICE_ACTS & {act.id for act in listed}:
        listed = [Act("quote"), *(act for act in listed if act.id not in _SOCIAL)]
    if found.home.area_odd is not None:
        listed = [*(act for act in listed if act.id not in _PRICE_ACTS), Act("area_odd")]
    business = _in_turn([act for act in listed if act.id not in _SOCIAL], text, found, state)
    implied = _implied(text, found, state)
    if business:
        ids = {act.id for act in business}
        told = found.changed & {"area_m2", "package", "budget_pln"}
        if implied is not None and told:
            business = _also(business, implied, several=len(told) > 1)
        return business[:MAX_ACTS]
    if implied is not None and not (decided and implied.id in {"noted", "hello_name"}):
        return [implied]
    if listed:
        return listed[:1]
    if decided:
        return []
    if state.asked == "consent" and any(sentence.question for sentence in text.sentences):
        return [Act("consent_info")]
    return _small(text, found, state) or _alike(text, retriever)


def _continued(text: Text, retriever: Retriever, found: Found, state: State) -> Act | None:
    """The act of a message that only makes sense after the last one: "a drożej?", "in English please"."""
    if not found.changed and (found.slots.package or state.recommended) is not None:
        if ellipsis.is_step(text):
            return Act("discount" if ellipsis.cheaper(text) else "next_package")
        if ellipsis.is_too_dear(text):
            return Act("next_package")
    if state.topic is not None and state.topic in _CARRIED and not found.changed and ellipsis.is_appended(text):
        hit = _best(retriever, (*_CARRIED[state.topic][state.language or "pl"], *text.words))
        return None if hit is None else Act(hit.entry.id, hit.entry)
    if language.switch(text) is None or state.subject is None:
        return None
    return Act("callback" if "rodo" in state.purposes else "repeat_answer")


def _in_turn(business: list[Act], text: Text, found: Found, state: State) -> list[Act]:
    """The acts as they are meant after the last answer: a choice of package, the price of what no package holds."""
    if state.asked == "package" and ellipsis.is_choice(text):
        return [Act("take_package", about=act.id) if act.id in _SUPERLATIVES else act for act in business]
    only_price = [act.id for act in business] == ["quote"] and not found.changed and ellipsis.is_price_of_it(text)
    return [Act("repeat_answer")] if only_price and state.topic in _EXTRAS else business


def _also(business: list[Act], implied: Act, *, several: bool) -> list[Act]:
    """Adds what the told facts call for: in front of acts that only frame them, behind real questions."""
    ids = {act.id for act in business}
    others = [act for act in business if act.id != implied.id]
    if ids <= _FRAMING:
        return [implied, *(act for act in others if act.id not in {"enquiry", "property_kinds"})]
    if implied.id == "quote" and "package_details" in ids:
        return [implied, *(act for act in others if act.id != "package_details")]
    if several and not ids & _PRICE_ACTS:
        return [*others, implied]
    return business


def _entry(hits: list[Hit], wanted: str) -> Entry | None:
    return next((hit.entry for hit in hits if hit.entry.id == wanted), None)


def _hits(text: Text, retriever: Retriever) -> list[Hit]:
    """The best entry of every clause, and of a whole sentence when its clauses say nothing by themselves."""
    chosen: dict[str, Hit] = {}
    for sentence in text.sentences[:10]:
        parts = [piece for part in clauses(sentence) for piece in _halves(part, retriever)]
        picked = [hit for part in parts if (hit := _best(retriever, part)) is not None]
        if not picked and len(parts) > 1:
            whole = _best(retriever, sentence.words)
            picked = [] if whole is None else [whole]
        for hit in picked:
            chosen.setdefault(hit.entry.id, hit)
    if not chosen and len(text.sentences) > 1:
        whole = _best(retriever, text.words[:60])
        if whole is not None:
            chosen[whole.entry.id] = whole
    return list(chosen.values())


def _halves(words: tuple[str, ...], retriever: Retriever) -> list[tuple[str, ...]]:
    """A clause cut at its conjunction, when each side asks for something of its own."""
    joins = (index for index in range(1, len(words) - 1) if words[index] in _JOINS)
    for index in islice(joins, _MAX_JOINS):
        halves = words[:index], words[index + 1 :]
        hits = [_best(retriever, half) for half in halves]
        both = all(hit is not None and hit.entry.answer is not None and hit.entry.kind == "business" for hit in hits)
        if both and len({hit.entry.id for hit in hits if hit is not None}) == len(halves):
            return list(halves)
    return [words]


def _best(retriever: Retriever, words: tuple[str, ...]) -> Hit | None:
    """The entry that a clause is about; of "how long is the design in the cheapest one?" it is the design."""
    found = retriever.search(words)
    hits = [hit for hit in found if hit.score >= _THRESHOLD * min(1.0, hit.entry.weight)]
    if not hits:
        return None
    first = hits[0]
    if first.entry.id == "compare_packages":
        return next((hit for hit in hits[1:] if hit.entry.topic is not None), first)
    if first.entry.id in _SUPERLATIVES:
        attribute = next((hit for hit in hits[1:] if hit.entry.topic is not None or hit.entry.id == "lead_time"), None)
        return first if attribute is None else replace(attribute, about=first.entry.id)
    return first


def _alike(text: Text, retriever: Retriever) -> list[Act]:
    """Without a cue, the entry with a phrasing that is much alike, if no other comes near it."""
    for sentence in text.sentences[:3]:
        hits = retriever.search(sentence.words)
        near = len(hits) > 1 and hits[1].score > hits[0].score - _LEAD
        if len(sentence.words) > 1 and hits and hits[0].score >= _ALIKE and not near:
            return [Act(hits[0].entry.id, hits[0].entry)]
    return []


def _resolve(listed: list[Act], found: Found) -> list[Act]:
    """Drops and turns acts by what else the message says."""
    dropped = _superseded({act.id for act in listed}, found)
    listed = [act for act in listed if act.id not in dropped]
    ids = {act.id for act in listed}
    named = found.named.packages
    told_budget = "budget_pln" in found.changed and "package" not in found.changed
    if told_budget and not ids & {"recommend_package", "cheapest_package"}:
        listed = [Act("recommend_package"), *(act for act in listed if act.id not in {"quote", "package_list"})]
    if len(named) > 1 and "recommend_package" in ids and not told_budget and found.slots.budget_pln is None:
        listed = [Act("compare_packages") if act.id == "recommend_package" else act for act in listed]
    if len(named) + len(found.named.turned_down) < 2 and "compare_packages" in ids:
        listed = [Act("package_list") if act.id == "compare_packages" else act for act in listed]
    if len(named) > 1 and ids & {"not_included", "scope_included", "package_details", "next_package"}:
        listed = [Act("compare_packages"), *(act for act in listed if act.id not in _WHAT_IS_IN_IT)]
    if named and "price_why" in ids and "quote" not in ids:
        listed = _with(listed, "price_why", Act("quote"))
    if len(named) == 1:
        listed = [Act("package_details") if act.id == "package_list" else act for act in listed]
    if named and "scope_included" in ids and "package_details" not in ids:
        listed = _with(listed, "scope_included", Act("package_details"))
    return list({act.id: act for act in listed}.values())


def _superseded(ids: set[str], found: Found) -> set[str]:
    """Acts that another act of the same message, or what the message tells, makes idle."""
    changed = found.changed
    idle: set[str] = set()
    ranked = ids & {"cheapest_package", "dearest_package", "compare_packages", "price_difference"}
    extra = ids & _PRICED and "area_m2" not in changed
    chooses = "recommend_package" in ids and "package" not in changed
    lists = "package_list" in ids and not changed & {"area_m2", "package"}
    if ranked or extra or chooses or lists:
        idle.add("quote")
    if "area_m2" in changed:
        idle |= {"offices", "package_details"} if "quote" in ids else {"offices"}
    if changed & {"phone", "email"} or found.bad_email or found.bad_phone:
        idle |= {"contact_info", "offices", "company_data"}
    return idle


def _with(listed: list[Act], wanted: str, before: Act) -> list[Act]:
    """The acts with one put in front of another."""
    return [item for act in listed for item in ((before, act) if act.id == wanted else (act,))]


def _implied(text: Text, found: Found, state: State) -> Act | None:
    """The act of a message that only states facts."""
    changed, slots = found.changed, found.slots
    if found.home.area_odd is not None:
        return Act("area_odd")
    if found.home.budget_per_m2 is not None or "budget_pln" in changed:
        return Act("recommend_package")
    if "package" in changed or len(found.named.packages) > 1:
        return _about_package(text, found, state)
    if "area_m2" in changed:
        open_choice = slots.package is None and (slots.budget_pln is not None or (wish(text) or state.wish) is not None)
        return Act("recommend_package" if open_choice else "quote")
    if found.home.room_area:
        return Act("partial_scope")
    if found.home.foreign_money:
        return Act("foreign_money")
    if "city" in changed:
        return Act("offices" if state.topic == "offices" else "city")
    if changed & {"phone", "email"} or found.bad_email or found.bad_phone:
        return Act("contact")
    return Act("hello_name") if "name" in changed else None


def _about_package(text: Text, found: Found, state: State) -> Act:
    """A package without a question: the last question again, a quote, or what the package is."""
    if len(found.named.packages) > 1:
        return Act("compare_packages")
    short = len(text.words) <= 5
    if short and state.topic is not None and state.topic not in _REPEATABLE:
        return Act("repeat_topic")
    if short and state.topic == "lead_time" and state.asked is None:
        return Act("lead_time")
    if found.slots.area_m2 is not None:
        return Act("quote")
    return Act("package_details")


def _small(text: Text, found: Found, state: State) -> list[Act]:
    """Messages that neither ask nor tell: acceptance of an offer, acknowledgement, doubt, noise."""
    if _UNSURE.search(text.joined, text.signs):
        return [Act("unsure")]
    if state.topic == "booking" and ellipsis.is_hour(text):
        return [Act("booking")]
    if state.subject is not None and ellipsis.is_of_every(text):
        return [Act("repeat_for_all")]
    if state.subject is not None and ellipsis.is_also(text):
        return [Act("repeat_answer")]
    if _HOW_MUCH.search(text.joined, text.signs):
        return [Act("quote")]
    if _WHICH.search(text.joined, text.signs):
        return [Act("recommend_package")]
    if state.offer is not None and _YES.search(text.joined, text.signs) and len(text.words) <= 4:
        return [Act(state.offer)]
    if "property_type" in found.changed:
        return [Act("enquiry")]
    if _NOT_LATIN.search(text.folded):
        return [Act("language")]
    if text.is_empty or all(word in _ACK for word in text.words):
        return [Act("ack")]
    return []


def wish(text: Text) -> Wish | None:
    """What a visitor without a budget looks for: "rental", "wow" or nothing in particular."""
    if _RENTAL.search(text.joined, text.signs):
        return "rental"
    return "wow" if _WOW.search(text.joined, text.signs) else None
