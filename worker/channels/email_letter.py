"""What a mail says, whatever form it is shown in: a lead in Polish for sales, a notice in English for operators."""

from dataclasses import dataclass
from typing import Final

from worker.channels import wording
from worker.channels.base import LeadAlert, Notice, PersonalMail, Post

SUBJECT_PREFIX: Final = "[NovaHouse] "
WORDS_LIMIT: Final = 2000
TEXT_LIMIT: Final = 4000
LINE_LIMIT: Final = 300
CELL_LIMIT: Final = 80
_REPEAT: Final = {
    "pl": "Możliwe powtórzenie – ta wiadomość mogła już do Państwa dotrzeć.",
    "en": "Possible repeat – this message may have reached you already.",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """A label with its value, and a link where the value is one to call or to write to."""

    label: str
    value: str
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """The parts of a mail. Every text is harmless and short already; nothing is escaped."""

    language: str
    subject: str
    heading: str
    warning: str = ""
    text: str = ""
    facts: tuple[Fact, ...] = ()
    quote: str = ""
    table: tuple[tuple[str, ...], ...] = ()
    below_table: str = ""
    steps_heading: str = ""
    steps: tuple[str, ...] = ()
    footer: tuple[str, ...] = ()
    farewell: Fact | None = None


def letter_of(message: Post | PersonalMail) -> Letter:
    """The letter for a message."""
    if isinstance(message, PersonalMail):
        return _personal(message)
    return _notice(message) if isinstance(message, Notice) else _lead(message)


def _lead(alert: LeadAlert) -> Letter:
    who = wording.plain(alert.name, 80) or "bez imienia"
    heading = f"Nowy lead: {who} · {alert.score}/100"
    repeat = alert.envelope.possible_repeat
    ids = (("lead", alert.lead_id), ("rozmowa", alert.conversation_id), ("alert", alert.envelope.alert_id))
    return Letter(
        language="pl",
        subject=heading + (" (możliwe powtórzenie)" if repeat else ""),
        heading=heading,
        warning="Możliwe powtórzenie – wcześniejsza próba mogła już dotrzeć." if repeat else "",
        facts=(*_contact(alert), *_details(alert)),
        quote=wording.plain(alert.last_words, WORDS_LIMIT, lines=True),
        footer=(
            wording.consents(marketing=alert.consent_marketing),
            f"język: {wording.plain(alert.language, 20)} · {wording.local_time(alert.captured_at)}",
            " · ".join(f"{what} {wording.short_id(identifier)}" for what, identifier in ids),
        ),
    )


def _contact(alert: LeadAlert) -> list[Fact]:
    phone, email = wording.phone_number(alert.phone), wording.email_address(alert.email)
    facts = []
    if phone is not None:
        facts.append(Fact("Telefon", wording.phone_for_people(phone), f"tel:{phone}"))
    elif alert.phone:
        facts.append(Fact("Telefon", wording.plain(alert.phone, 60)))
    if email is not None:
        facts.append(Fact("E-mail", email, f"mailto:{email}"))
    elif alert.email:
        facts.append(Fact("E-mail", wording.plain(alert.email, 254)))
    if alert.quote_pln is not None:
        facts.append(Fact("Wycena", f"{wording.money(alert.quote_pln)} (orientacyjnie)"))
    return facts


def _details(alert: LeadAlert) -> list[Fact]:
    facts = (
        Fact("Pakiet", wording.plain(alert.package_name or alert.package, 60)),
        Fact("Metraż", f"{wording.number(alert.area_m2)} m²" if alert.area_m2 is not None else ""),
        Fact("Nieruchomość", wording.property_type(alert.property_type)),
        Fact("Miasto", wording.plain(alert.city, 80)),
        Fact("Budżet", wording.money(alert.budget_pln) if alert.budget_pln is not None else ""),
    )
    return [fact for fact in facts if fact.value]


def _notice(notice: Notice) -> Letter:
    title = wording.plain(notice.title, 150) or "Notice"
    repeat = notice.envelope.possible_repeat
    facts = (Fact(wording.plain(label, 60), wording.plain(value, LINE_LIMIT)) for label, value in notice.facts)
    return Letter(
        language="en",
        subject=SUBJECT_PREFIX + title + (" (possible repeat)" if repeat else ""),
        heading=title,
        warning="Possible repeat – an earlier attempt may have arrived." if repeat else "",
        text=wording.plain(notice.text, TEXT_LIMIT, lines=True),
        facts=tuple(fact for fact in facts if fact.label or fact.value),
        table=tuple(tuple(wording.plain(cell, CELL_LIMIT) for cell in row) for row in notice.items if row),
        below_table=f"… and {notice.more} more" if notice.more else "",
        steps_heading="What to do",
        steps=tuple(filter(None, (wording.plain(step, LINE_LIMIT) for step in notice.what_to_do))),
        footer=(
            wording.local_time_with_zone(notice.happened_at),
            f"notice {wording.short_id(notice.notice_id)} · alert {wording.short_id(notice.envelope.alert_id)}",
        ),
    )


def _personal(mail: PersonalMail) -> Letter:
    link = (Fact(wording.plain(mail.link_label, 60), mail.link, mail.link),) if mail.link else ()
    facts = (Fact(wording.plain(label, 60), wording.plain(value, LINE_LIMIT)) for label, value in mail.facts)
    repeat = mail.envelope.possible_repeat and not mail.fresh
    return Letter(
        language=mail.language,
        subject=wording.plain(mail.subject, 150),
        heading=wording.plain(mail.subject, 150),
        warning=_REPEAT["en" if mail.language == "en" else "pl"] if repeat else "",
        text="\n\n".join(wording.plain(text, TEXT_LIMIT, lines=True) for text in mail.paragraphs),
        facts=(*link, *facts),
        footer=mail.footer,
        farewell=Fact(wording.plain(mail.farewell[0], 60), mail.farewell[1], mail.farewell[1])
        if mail.farewell
        else None,
    )


def as_text(letter: Letter) -> str:
    """The letter for readers without HTML."""
    steps = [f"{number}. {step}" for number, step in enumerate(letter.steps, start=1)]
    parts = (
        letter.heading,
        letter.warning,
        letter.text,
        "\n".join(f"{fact.label}: {fact.value}" for fact in letter.facts),
        f"„{letter.quote}”" if letter.quote else "",
        "\n".join((*_columns(letter.table), *filter(None, [letter.below_table]))),
        "\n".join((f"{letter.steps_heading}:", *steps)) if steps else "",
        "\n".join(letter.footer),
        f"{letter.farewell.label}: {letter.farewell.value}" if letter.farewell else "",
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _columns(table: tuple[tuple[str, ...], ...]) -> list[str]:
    if not table:
        return []
    widths = [max(len(row[at]) for row in table if at < len(row)) for at in range(max(map(len, table)))]
    padded = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in table)
    return [line.rstrip() for line in padded]
