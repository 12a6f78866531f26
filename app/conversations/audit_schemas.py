"""What the audit looks like on the wire."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.consent.chain import Reason
from app.conversations import examples

Hex = Annotated[str, BeforeValidator(lambda value: value.hex() if isinstance(value, bytes) else value)]


class AuditEntryOut(BaseModel):
    """One entry of the log, whole, so that its hash can be computed again."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.AUDIT_ENTRY]})

    seq: int
    at: datetime
    event: str = Field(examples=["consent.granted"])
    subject_ref: UUID = Field(description="The conversation.")
    purpose: str | None
    text_version: int | None = Field(description="With `text_sha256` and `locale`: the text that was shown.")
    text_sha256: str | None
    locale: str | None
    surface: str = Field(examples=["chat"])
    message_seq: int | None = Field(description="The visitor's message that said it.")
    evidence_hash: Hex | None = Field(description="Commitment to from where it was said, which is deleted earlier.")
    prev_hash: Hex
    row_hash: Hex


class AuditEntriesOut(BaseModel):
    """A page of entries, newest first."""

    items: list[AuditEntryOut]
    next_cursor: str | None


class VerdictOut(BaseModel):
    """What a verification of the whole log found."""

    model_config = ConfigDict(from_attributes=True, json_schema_extra={"examples": [examples.VERDICT]})

    ok: bool = Field(description="Everything that was there to be checked holds. Read it together with `anchor`.")
    rows: int = Field(description="Entries that hold, from the first on.")
    head_seq: int
    head_hash: str = Field(description="Hash of entry `head_seq`: what a witness outside needs to note.")
    broken_at: int | None = Field(description="The first entry that does not hold.")
    reason: Reason | None
    evidence: int = Field(description="Pieces of evidence that are what their entry committed to.")
    anchor: Literal["checked", "missing", "broken", "unfinished"] = Field(
        description="`missing`: there was no checkpoint, so a cut-off end would not show. `unfinished`: the chain "
        "broke before the last checkpoint."
    )
    anchor_line: int | None = Field(description="The checkpoint at fault, as a line of the anchor.")
    checkpoints: int = Field(description="Checkpoints that the chain holds and whose signature is ours.")
    checkpoint_seq: int = Field(description="The last entry that a checkpoint vouches for.")
    seconds: float
    rows_per_second: int
