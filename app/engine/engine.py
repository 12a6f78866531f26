"""One turn from start to end: read, guard, understand, answer. Deterministic for one knowledge."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from app.engine import (
    answers,
    compose,
    consent,
    dialog,
    ellipsis,
    guards,
    knowledge_files,
    language,
    normalise,
    scoring,
)
from app.engine import followup as followup_texts
from app.engine import nudge as nudges
from app.engine.compose import Voice
from app.engine.consent import Stated
from app.engine.contacts import Closing, closing
from app.engine.dialog import Act, State
from app.engine.followup import MailWords
from app.engine.knowledge import FirmFile, Knowledge, Wish
from app.engine.lexicon import Lexicon
from app.engine.llm.masking import Masker
from app.engine.parts import Context, Part
from app.engine.quote import area_is_sane
from app.engine.retrieval import Retriever
from app.engine.rights import decision_parts, forget, guard_part, handoff, rights_parts
from app.engine.slots.package import packages_words
from app.engine.slots.quantities import SPOKEN, UNLIKE
from app.engine.slots.reader import Found, SlotReader
from app.engine.types import (
    Advice,
    Answer,
    Greeting,
    HandoffWords,
    Help,
    Locale,
    PackageFact,
    PackageId,
    Quote,
    Reply,
    Slots,
    Turn,
)


class UnknownPackageError(ValueError):
    """There is no such package."""


class AreaError(ValueError):
    """An area that the firm does not quote. The message names the limits."""


_NO_TOPICS = dialog.REPEATS | {"ack", "unsure", "greeting", "thanks", "hello_name", "contact"}
"""Acts that leave the topic as it was."""
_LONG_PLACE = 7
"""Towns with shorter names are too near to other words for their slips to be undone."""


@dataclass(frozen=True, slots=True)
class _Mind:
    """Everything made from one state of the knowledge. A turn uses one from its first word to its last."""

    lexicon: Lexicon
    retriever: Retriever
    reader: SlotReader
    corrector: normalise.Corrector
    masker: Masker

    @classmethod
    def of(cls, knowledge: Knowledge) -> "_Mind":
        retriever = Retriever(knowledge.faq.entries, packages_words(knowledge.packages.packages))
        reader = SlotReader(knowledge)
        words = {normalise.fold(word) for word in knowledge.faq.vocabulary} | packages_words(
            knowledge.packages.packages
        )
        places = {word for form in reader.cities.forms for word in form.split()}
        names = {normalise.fold(name) for name in knowledge.names.first_names}
        corrector = normalise.Corrector(
            words | SPOKEN | {place for place in places if len(place) >= _LONG_PLACE},
            retriever.vocabulary - places - names,
            retriever.stems | places | names | UNLIKE | set(knowledge.names.not_names),
        )
        masker = Masker(first_names=names, towns=places, words=words | retriever.vocabulary | retriever.stems)
        return cls(Lexicon.of(knowledge), retriever, reader, corrector, masker)


class Engine:
    """Answers messages from its knowledge, which can be exchanged while it answers. For one process, any thread."""

    def __init__(self, knowledge: Knowledge) -> None:
        """Build the tables that every turn reads."""
        self._mind = _Mind.of(knowledge)

    @classmethod
    def load(cls, directory: Path | None = None) -> "Engine":
        """An engine over the YAML files in `directory`, by default the package's own; raises `KnowledgeError`."""
        return cls(knowledge_files.load(directory))

    def learn(self, knowledge: Knowledge) -> None:
        """Answer from other knowledge, beginning with the next message. Building its tables takes a moment of CPU."""
        self._mind = _Mind.of(knowledge)

    @property
    def firm(self) -> FirmFile:
        """Who speaks."""
        return self._mind.lexicon.knowledge.firm

    def _voice(self, locale: Locale, now: datetime) -> Voice:
        return Voice(self._mind.lexicon, locale, now)

    def greeting(self, locale: Locale, now: datetime) -> Greeting:
        """The first words of a conversation, with the disclosure that an automated assistant speaks."""
        voice = self._voice(locale, now)
        return Greeting(
            voice.say("greeting"), voice.say("disclosure"), voice.chips("qr_quote", "qr_packages", "qr_booking")
        )

    def packages(self, locale: Locale, now: datetime) -> list[PackageFact]:
        """Every package with its price on the day of `now`, cheapest first."""
        return compose.package_facts(self._voice(locale, now))

    def quote(self, *, area_m2: Decimal, package: PackageId, locale: Locale, now: datetime) -> Quote:
        """An estimate at the prices of the day of `now`. Raises `AreaError` and `UnknownPackageError`."""
        voice = self._voice(locale, now)
        prices = voice.knowledge.prices
        if package not in voice.lexicon.packages:
            msg = f"there is no such package; there are {', '.join(voice.order)}"
            raise UnknownPackageError(msg)
        if not area_is_sane(prices, area_m2):
            msg = f"area must be between {prices.min_area_m2} and {prices.max_area_m2} m2"
            raise AreaError(msg)
        return compose.quote(voice, package, area_m2)

    def followup(self, number: int, *, slots: Slots, locale: Locale, now: datetime) -> str:
        """The n-th message to somebody whose conversation went quiet, at the prices of the day of `now`."""
        return followup_texts.text(self._voice(locale, now), number, slots)

    def nudge(self, slots: Slots, *, memory: Mapping[str, Any], locale: Locale, now: datetime) -> Reply | None:
        """What to say to somebody who has not answered for a while, after the turn that left `memory`; None: nothing."""
        state = State.load(memory, self._mind.lexicon.packages)
        return nudges.reply(self._voice(locale, now), state, slots)

    def followup_mail(self, number: int | None, *, locale: Locale, now: datetime) -> MailWords:
        """What a mail says around the n-th follow-up, or around words that a person wrote (None)."""
        return followup_texts.mail_words(self._voice(locale, now), number)

    def handoff(self, *, locale: Locale, now: datetime) -> HandoffWords:
        """What to say to a visitor who gets a person to talk to, and when people are there."""
        return handoff(self._voice(locale, now))

    def handed_over(self, memory: Mapping[str, Any]) -> dict[str, Any]:
        """The memory to go on from once a person has answered: a "yes" said to them is no answer to our question."""
        return State.load(memory, self._mind.lexicon.packages).unasked().dump()

    def score(self, slots: Slots, *, messages: int) -> int:
        """How promising the lead is, 0 to 100."""
        return scoring.score(slots, messages=messages)

    def call_within_hours(self, score: int) -> int | None:
        """How soon somebody should call a lead with this score; None when there is no hurry."""
        return scoring.call_within_hours(score)

    def answer(self, turn: Turn) -> Answer:
        """The reply to one message. Never raises for any text, and always says something."""
        mind = self._mind
        text = normalise.read(turn.text, mind.corrector)
        state = State.load(turn.memory, mind.lexicon.packages)
        spoken: Locale = "en" if state.language == "en" else "pl" if state.language == "pl" else turn.locale
        locale = language.detect(text, before=spoken)
        voice = Voice(mind.lexicon, locale, turn.now)
        guard = guards.find(text)
        found = _read(mind.reader, text, turn, state, guard)
        stated = (
            Stated() if guard == "injection" else consent.read(text, state.purposes if state.asked == "consent" else ())
        )
        if turn.silent:
            parts, slots = rights_parts(guard, voice, stated, text, found)
            return Answer(
                replies=tuple(part.reply for part in parts),
                slots=slots,
                language=locale,
                decisions=stated.decisions,
                memory=replace(state, language=locale).dump(),
            )
        contact = next((d.granted for d in stated.decisions if d.purpose == "rodo"), turn.consent_contact)
        context = Context(
            voice,
            found.slots,
            found,
            state,
            dialog.wish(text) or state.wish,
            contact,
            _previous(turn, state, found),
            ellipsis.cheaper(text),
        )
        parts = decision_parts(voice, stated, found.slots)
        listed: list[Act] = []
        if guard is not None and not (stated.decisions and guard == "erasure"):
            guarded, found_slots = guard_part(guard, voice, text, found)
            parts.append(guarded)
            context = replace(context, slots=found_slots)
            listed.append(Act(guard))
        else:
            listed = dialog.acts(text, mind.retriever, found, state, decided=bool(stated.decisions))
            if listed and listed[0].id == "off_topic":
                context = replace(context, slots=replace(found.slots, city=turn.slots.city))
            parts.extend(answers.answer(act, context) for act in listed)
            parts.extend(answers.outside_area(context, {act.id for act in listed}))
        slots = next((part.slots for part in parts if part.slots is not None), context.slots)
        end = closing(turn, voice, found, stated, slots, contact, {act.id for act in listed})
        return self._answer(locale, parts, slots, stated, listed, end, context)

    def help_wanted(self, turn: Turn, answer: Answer) -> Help | None:
        """What a language model may be asked about this answer; None where it is best left alone."""
        mind = self._mind
        index = answer.wordable if answer.helpless is None else answer.helpless
        entries = () if answer.helpless is None else answers.offered(Voice(mind.lexicon, answer.language, turn.now))
        if index is None or (answer.helpless is not None and not entries):
            return None
        return Help(
            locale=answer.language,
            message=mind.masker.mask(turn.text, answer.slots),
            text=answer.replies[index].text,
            entries=entries,
        )

    def take_advice(self, turn: Turn, answer: Answer, advice: Advice) -> Answer:
        """The answer with what a language model suggested, as far as it still fits. State and slots stay as they are."""
        voice = self._voice(answer.language, turn.now)
        replies = list(answer.replies)
        if advice.entry is not None and answer.helpless is not None:
            suggested = answers.suggested(voice, advice.entry, answer.slots)
            replies[answer.helpless + 1 : answer.helpless + 1] = [] if suggested is None else [suggested]
        elif advice.text is not None and answer.wordable is not None:
            before = replies[answer.wordable]
            if before.text == advice.instead_of:
                replies[answer.wordable] = replace(before, text=advice.text)
        return replace(answer, replies=tuple(replies))

    def _answer(
        self,
        locale: Locale,
        parts: list[Part],
        slots: Slots,
        stated: Stated,
        listed: list[Act],
        end: Closing,
        context: Context,
    ) -> Answer:
        replies = [part.reply for part in parts if part.reply.text]
        missed = not replies and not end.replies and not end.answered
        if missed:
            part = answers.fallback(context)
            parts, replies = [*parts, part], [part.reply]
        helpless = len(replies) - 1 if missed else None
        settled = bool(listed and not stated.decisions and not end.replies)
        wordable = _first_wordable(parts) if settled else None
        replies.extend(end.replies)
        if not replies:
            replies = [Reply("text", context.voice.say("ack"))]
        intents = tuple(dict.fromkeys([*(["consent"] if stated.decisions else []), *(act.id for act in listed)]))
        memory = _remember(
            context.state, parts, listed, end, locale, missed=missed, previous=context.previous, wish=context.wish
        )
        return Answer(
            replies=tuple(replies),
            slots=slots,
            language=locale,
            decisions=stated.decisions,
            consent_shown=end.shown,
            intents=intents or ("unclear",),
            memory=memory.dump(),
            missed=any(part.missed for part in parts),
            helpless=helpless,
            wordable=wordable,
        )


def _first_wordable(parts: list[Part]) -> int | None:
    """Where among the replies the first one stands that may go out in other words."""
    said = [part for part in parts if part.reply.text]
    return next((index for index, part in enumerate(said) if part.wordable and part.reply.type == "text"), None)


def _read(reader: SlotReader, text: normalise.Text, turn: Turn, state: State, guard: str | None) -> Found:
    found = reader.read(
        text,
        turn.slots,
        asked=state.asked,
        listed=state.listed,
        bare_area=None if state.topic in dialog.TIMED else state.prices and not turn.silent,
    )
    if guard == "injection":
        return replace(found, slots=turn.slots, changed=frozenset())
    if guard == "erasure":
        return replace(found, slots=forget(text, turn.slots), changed=frozenset())
    return found


def _previous(turn: Turn, state: State, found: Found) -> PackageId | None:
    before = turn.slots.package
    return state.previous if before in (None, found.slots.package) else before


def _remember(
    state: State,
    parts: list[Part],
    listed: list[Act],
    end: Closing,
    locale: Locale,
    *,
    missed: bool,
    previous: PackageId | None,
    wish: Wish | None,
) -> State:
    """What the next turn needs: the question asked, the list shown, the topic, the recommendation."""
    asks = next((part.asks for part in reversed(parts) if part.asks is not None), None)
    shown = next((part.listed for part in parts if part.listed), ())
    topic = next(
        (act.id for act in listed if act.id not in _NO_TOPICS),
        None,
    )
    return State(
        asked="consent" if end.asked else asks,
        purposes=end.asked,
        topic=topic or state.topic,
        listed=shown or state.listed,
        recommended=next((part.recommended for part in parts if part.recommended is not None), state.recommended),
        offer=next((part.offer for part in parts if part.offer is not None), None),
        language=locale,
        misses=min(state.misses + 1, 9) if missed else 0,
        previous=previous,
        wish=wish,
    )
