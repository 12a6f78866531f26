"""`novahouse audit`: does the log of consents hold, and a signed checkpoint of it outside."""

import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Final, TypeVar

import typer

from app.cli.desk import Desk, fail, run
from app.cli.inputs import Json
from app.cli.output import facts
from app.consent import checkpoints
from app.consent.anchor import Anchor, AnchorError, Checkpoint
from app.consent.audit import Progress, Verdict
from app.consent.audit import verify as verify_chain
from app.consent.chain import Reason
from app.conversations.audit_schemas import VerdictOut
from app.core import clock
from app.core.keys import KeyRing

app = typer.Typer()

T = TypeVar("T")

NO_ANCHOR: Final = 2
PROGRESS_SECONDS: Final = 0.2

Where = Annotated[Path | None, typer.Option("--anchor", metavar="FILE", help="Checkpoints; default: AUDIT_ANCHOR.")]

WORDS: Final[dict[Reason, str]] = {
    "seq_gap": "it is not there, though later ones are",
    "prev_hash": "it does not follow the entry before it",
    "row_hash": "its content was changed after it was written",
    "evidence": "the evidence kept for it is not what it committed to",
    "head": "the log does not end where its head says",
    "checkpoint_differs": "a checkpoint saw another entry there",
    "checkpoint_beyond_end": "a checkpoint saw it, and it is gone",
    "checkpoint_malformed": "a line of the anchor is no checkpoint",
    "checkpoint_signature": "the signature of its checkpoint is not ours",
    "checkpoint_key_unknown": "its checkpoint is signed with a key not in SECRET_KEY or SECRET_KEYS_RETIRED",
    "checkpoint_order": "its checkpoint stands behind a later one",
    "anchor_unreadable": "the anchor cannot be read",
}


@app.command()
def verify(anchor: Where = None, json: Json = False) -> None:
    """Recompute the whole log and compare it with the checkpoints.

    Exit code 0: everything holds. 1: something does not, or it could not be checked. 2: the log holds by itself, but
    there was no checkpoint to compare it with, so nobody can say whether its end was cut off.
    """

    async def work(desk: Desk) -> Verdict:
        return await verify_chain(desk.database, anchor=_anchor(desk, anchor), progress=_progress())

    verdict = run(work)
    if sys.stderr.isatty():
        typer.echo("\r\033[K", nl=False, err=True)
    typer.echo(VerdictOut.model_validate(verdict).model_dump_json() if json else _summary(verdict))
    if not verdict.ok:
        raise typer.Exit(1)
    if verdict.anchor == "missing":
        typer.echo("novahouse: no checkpoint to compare with: set AUDIT_ANCHOR or give --anchor", err=True)
        raise typer.Exit(NO_ANCHOR)


@app.command()
def checkpoint(anchor: Where = None) -> None:
    """Verify what was added since the last checkpoint and sign a new one, now."""

    async def work(desk: Desk) -> tuple[Checkpoint | None, int]:
        file = _anchor(desk, anchor)
        if file is None:
            fail("no file for it: set AUDIT_ANCHOR or give --anchor")
        total = 0
        while True:
            newest, added = await checkpoints.checkpoint(desk.database, anchor=file, now=clock.now())
            total += added
            if added < checkpoints.CHECKPOINT_ROWS:
                return newest, total

    newest, added = run(_or_fail(work))
    if newest is None:
        typer.echo("The log is empty: nothing to sign.")
    else:
        typer.echo(f"Checkpoint at entry {newest.seq}, {added} new: {newest.row_hash}")


def _or_fail(work: Callable[[Desk], Awaitable[T]]) -> Callable[[Desk], Awaitable[T]]:
    async def guarded(desk: Desk) -> T:
        try:
            return await work(desk)
        except checkpoints.ChainBrokenError as error:
            fail(f"not signed: {error}")
        except AnchorError as error:
            fail(f"not signed: the anchor {error}")

    return guarded


def _anchor(desk: Desk, path: Path | None) -> Anchor | None:
    return Anchor(path, KeyRing.of(desk.settings)) if path else Anchor.of(desk.settings)


def _progress() -> Progress:
    """Tells the rows so far, where somebody looks."""
    told = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal told
        if sys.stderr.isatty() and time.monotonic() - told >= PROGRESS_SECONDS:
            told = time.monotonic()
            typer.echo(f"\r{rows:,} entries", nl=False, err=True)

    return tell


def _summary(verdict: Verdict) -> str:
    where = "" if verdict.broken_at is None else f" at entry {verdict.broken_at}"
    line = "" if verdict.anchor_line is None else f" (line {verdict.anchor_line} of the anchor)"
    outcome = "holds" if verdict.reason is None else f"BROKEN{where}: {WORDS[verdict.reason]}{line}"
    anchored = f", {verdict.checkpoints} up to entry {verdict.checkpoint_seq}" if verdict.checkpoints else ""
    return facts(
        [
            ("audit log", outcome),
            ("entries", f"{verdict.rows:,} in {verdict.seconds:.1f} s, {verdict.rows_per_second:,} a second"),
            ("evidence", f"{verdict.evidence:,} kept and unchanged"),
            ("checkpoints", f"{verdict.anchor}{anchored}"),
            ("last entry", f"{verdict.head_seq} {verdict.head_hash}"),
        ]
    )
