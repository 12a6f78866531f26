"""Recording what people decided, and the one guard that every send passes."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Final, Literal, Self, cast
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncSession

from app.consent import repository
from app.consent.suppression import suppressed_addresses
from app.core.keys import KeyRing

IPV4: Final = 4
IPV4_BITS: Final = 24
IPV6_BITS: Final = 48
USER_AGENT_CHARACTERS: Final = 300

Purpose = Literal["rodo", "marketing_email", "marketing_phone"]
Locale = Literal["pl", "en"]


@dataclass(frozen=True, slots=True)
class Text:
    """One version of the words that ask for a purpose."""

    purpose: Purpose
    locale: Locale
    version: int
    body: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Origin:
    """From where somebody decided, as the request told."""

    ip: str | None
    user_agent: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """An origin as it is kept: the address truncated, and a salt so that the commitment to it gives nothing away."""

    salt: bytes
    ip: str | None
    user_agent: str | None

    @classmethod
    def of(cls, origin: Origin) -> Self:
        """What is kept of `origin`: IPv4 to /24, IPv6 to /48, the user agent to USER_AGENT_CHARACTERS."""
        agent = origin.user_agent
        return cls(secrets.token_bytes(16), truncated_ip(origin.ip), agent[:USER_AGENT_CHARACTERS] if agent else None)

    @property
    def commitment(self) -> bytes:
        """SHA-256 over salt and values, each with its length, so that none can pass for another."""
        parts = (self.salt, (self.ip or "").encode(), (self.user_agent or "").encode())
        return sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()


def truncated_ip(text: str | None) -> str | None:
    """An address without the part that names one household: the network /24 or /48; None when it is none."""
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    address = mapped or address
    bits = IPV4_BITS if address.version == IPV4 else IPV6_BITS
    return str(ip_network((address, bits), strict=False).network_address)


@dataclass(frozen=True, slots=True)
class Seen:
    """Which version of a text somebody had before their eyes when they decided."""

    locale: str
    version: int
    sha256: str


class Texts:
    """The current consent texts, read once at start. New versions arrive with a migration, hence with a restart."""

    def __init__(self, texts: Mapping[tuple[Purpose, Locale], Text]) -> None:
        self._texts = dict(texts)
        self.bodies: Mapping[tuple[Purpose, Locale], str] = {key: text.body for key, text in self._texts.items()}

    @classmethod
    async def load(cls, session: AsyncSession) -> Self:
        """Read the newest version of every text."""
        texts = [
            Text(cast("Purpose", row.purpose), cast("Locale", row.locale), row.version, row.body, row.sha256)
            for row in await repository.current_texts(session)
        ]
        return cls({(text.purpose, text.locale): text for text in texts})

    def get(self, purpose: Purpose, locale: Locale) -> Text:
        """The current text. Raises KeyError for a purpose or locale that has none."""
        return self._texts[purpose, locale]

    def find(self, purpose: Purpose, *, version: int, sha256: str) -> Text | None:
        """The current text with this version and hash, in whichever language; None when there is none."""
        texts = (text for text in self._texts.values() if text.purpose == purpose)
        return next((text for text in texts if (text.version, text.sha256) == (version, sha256)), None)

    def all(self) -> tuple[Text, ...]:
        """Every current text, in a stable order."""
        return tuple(self._texts[key] for key in sorted(self._texts))


async def record_decision(
    session: AsyncSession,
    *,
    conversation_id: UUID,
    purpose: str,
    granted: bool,
    surface: str,
    seen: Seen | None,
    message_seq: int | None,
    origin: Origin | None,
) -> None:
    """Append the decision to the audit log and make it the current answer, in the caller's transaction.

    `seen` is the text that stood before the person's eyes, None when they decided in their own words unasked; then the
    visitor's message `message_seq` is the evidence. `origin` is kept apart from the log, which holds a salted
    commitment to it.

    For everything else that a decision changes see `app.conversations.consents.decide`.
    """
    evidence = Evidence.of(origin) if origin else None
    audit_seq = await repository.append_audit(
        session,
        event="consent.granted" if granted else "consent.refused",
        evidence_hash=evidence.commitment if evidence else None,
        subject_ref=conversation_id,
        purpose=purpose,
        text_version=seen.version if seen else None,
        text_sha256=seen.sha256 if seen else None,
        locale=seen.locale if seen else None,
        surface=surface,
        message_seq=message_seq,
    )
    if evidence is not None:
        await repository.add_evidence(
            session,
            audit_seq=audit_seq,
            conversation_id=conversation_id,
            salt=evidence.salt,
            ip=evidence.ip,
            user_agent=evidence.user_agent,
        )
    await repository.set_state(
        session, conversation_id=conversation_id, purpose=purpose, granted=granted, audit_seq=audit_seq
    )


async def answers(session: AsyncSession, conversation_id: UUID) -> dict[str, bool]:
    """The current answer to each purpose that was answered."""
    return await repository.answers(session, conversation_id)


def marketing(answers: Mapping[str, bool]) -> bool | None:
    """Whether any marketing is agreed to; None when it was never answered."""
    given = [granted for purpose, granted in answers.items() if purpose.startswith("marketing_")]
    return any(given) if given else None


@dataclass(frozen=True, slots=True)
class Recipient:
    """About whom something is to be sent: the conversation, None once erased, and the address where there is one."""

    conversation_id: UUID | None
    email: str | None


async def reasons_not_to_send(
    connection: asyncpg.Connection, *, recipients: Iterable[Recipient], purpose: Purpose, keys: KeyRing
) -> dict[UUID | None, str]:
    """The guard: for each conversation about which nothing may leave now, why not. Those left out may be sent.

    Called under the claim for every send of any kind (DESIGN invariant 6). No row is a no, and so is a conversation
    that was erased, which is None. Who refused `rodo` gets nothing at all; marketing by e-mail also asks the
    suppression list, by address.
    """
    people = {recipient.conversation_id: recipient.email for recipient in recipients}
    present = [conversation_id for conversation_id in people if conversation_id is not None]
    answers = await repository.granted(connection, conversation_ids=present)
    reasons: dict[UUID | None, str] = {None: "subject_erased"}
    for conversation_id in present:
        answer = answers.get((conversation_id, purpose))
        if answer is False or answers.get((conversation_id, "rodo")) is False:
            reasons[conversation_id] = "consent_refused"
        elif answer is None:
            reasons[conversation_id] = "consent_missing"
    if purpose == "marketing_email":
        addressed = {key: email for key, email in people.items() if key is not None and key not in reasons and email}
        suppressed = await suppressed_addresses(connection, addresses=addressed.values(), keys=keys)
        reasons |= {key: "suppressed" for key, email in addressed.items() if email in suppressed}
    return reasons
