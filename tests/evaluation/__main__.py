"""`python -m tests.evaluation`: 0 when the conversations reach the bar, else 1."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from alembic import command

from app.core.logging import configure_logging
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.redis import EmbeddedRedis
from tests.conftest import alembic_config
from tests.evaluation import bar, rules
from tests.evaluation.rules import Conversation, Verdict
from tests.evaluation.visits import visit
from tests.llm.server import model_server
from tests.processes import api


def say(line: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(line + "\n")


def main() -> int:
    """Evaluate as the command line says."""
    parser = argparse.ArgumentParser(prog="make eval", description="Have conversations with the chat and judge them.")
    parser.add_argument("--file", type=Path, action="append", help="conversations to have instead of the project's own")
    parser.add_argument("--base", help="a running service; by default one is started")
    parser.add_argument(
        "--lying-model", action="store_true", help="give the service that is started a language model that lies"
    )
    parser.add_argument("--full", type=float, default=bar.FULL, help="share that must pass in full")
    parser.add_argument("--slots", type=float, default=bar.SLOTS, help="share of slots that must be right")
    parser.add_argument("--quiet", action="store_true", help="no list of failures")
    chosen = parser.parse_args()
    if chosen.base and chosen.lying_model:
        parser.error("a running service has the model that it has: --lying-model goes without --base")
    configure_logging(level="ERROR", json=False)
    conversations = rules.read(chosen.file) if chosen.file else rules.own()
    verdicts = asyncio.run(_evaluate(conversations, chosen.base, lying=chosen.lying_model))
    totals = bar.total(verdicts)
    if not chosen.quiet:
        for verdict in verdicts:
            if not verdict.passes:
                report(verdict)
    for tag, (passed, every) in sorted(totals.tags.items(), key=lambda item: (item[1][0] / item[1][1], item[0])):
        say(f"{passed:4} of {every:4}  {tag}")
    say(
        f"\n{totals.conversations} conversations: {totals.full:.3f} pass in full, {totals.slots:.3f} of the slots right"
    )
    faults = bar.below(totals, full=chosen.full, slots=chosen.slots)
    for fault in faults:
        say(f"BELOW THE BAR: {fault}")
    return 1 if faults else 0


def report(verdict: Verdict) -> None:
    """A failed conversation and why."""
    say(f"{verdict.conversation.id}: {' / '.join(verdict.conversation.turns)}")
    say(f"    {verdict.answer}")
    for what, faults in (
        ("slot", verdict.wrong_slots),
        ("missing", verdict.missing),
        ("forbidden", verdict.forbidden),
    ):
        for fault in faults:
            say(f"    {what}: {fault}")


async def _evaluate(conversations: Sequence[Conversation], base: str | None, *, lying: bool) -> list[Verdict]:
    async with model_server("lying") as model:
        service = _service(model.environment if lying else {})
        async with service if base is None else httpx.AsyncClient(base_url=base, timeout=30) as client:
            verdicts = await visit(client, conversations)
    if lying:
        say(f"the model was asked {len(model.requests)} times")
    return verdicts


@asynccontextmanager
async def _service(more: Mapping[str, str]) -> AsyncIterator[httpx.AsyncClient]:
    """The service over empty throw-away servers, as its own process, with these settings too."""
    with (
        tempfile.TemporaryDirectory(prefix="novahouse-eval-") as name,
        EmbeddedPostgres(Path(name) / "postgres", durable=False) as postgres,
        EmbeddedRedis(Path(name)) as redis,
    ):
        await asyncio.to_thread(command.upgrade, alembic_config(postgres.url), "head")
        environment = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": redis.url,
            "CHAT_RATE_LIMIT": "1000000 per minute",
            "API_RATE_LIMIT_MINUTE": "1000000 per minute",
            "API_RATE_LIMIT_HOUR": "1000000 per hour",
            "GPT_RATE_LIMIT": "1000000 per day",
            **more,
        }
        async with api(environment, Path(name) / "api.log") as (_, client):
            yield client


if __name__ == "__main__":
    sys.exit(main())
