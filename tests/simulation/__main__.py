"""`python -m tests.simulation --conversations 1000 --seed 1`: 0 when nothing was wrong, else 1."""

import argparse
import asyncio
import secrets
import sys
from collections import Counter

from app.core.logging import configure_logging
from tests.simulation.oracle import timeline
from tests.simulation.run import Summary, run

SHOWN = 5


def say(line: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(
        prog="make simulation", description="Two weeks of follow-ups, with workers that are killed at random."
    )
    parser.add_argument("--conversations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the plan, not of the timing")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seldom", action="store_true", help="stop at a third of the moments")
    chosen = parser.parse_args()
    configure_logging(level="WARNING", json=False)
    say(f"seed {chosen.seed}")
    summary = asyncio.run(
        run(
            conversations=chosen.conversations,
            seed=chosen.seed,
            workers=chosen.workers,
            often=not chosen.seldom,
            say=say,
        )
    )
    say("\n".join(report(summary)))
    return 1 if summary.failed else 0


def report(summary: Summary) -> list[str]:
    """The verdict, and the evidence when there is something to prove."""
    oracle = summary.oracle
    lines = [f"\nSTUCK {summary.stuck}"] if summary.stuck else []
    for wrong in oracle.wrong[:SHOWN]:
        who = "" if wrong.chat is None else f" conversation {wrong.chat.life.number} ({wrong.chat.id}):"
        lines.append(f"\nWRONG {wrong.kind}:{who} {wrong.what}")
        if wrong.chat is not None:
            same = [chat for chat in oracle.people[wrong.chat.life.person] if chat is not wrong.chat]
            for chat in (wrong.chat, *same):
                lines += [f"  conversation {chat.life.number}, {chat.life.email}:"]
                lines += [f"    {line}" for line in timeline(chat)]
    answers = Counter(attempt.answer for attempt in summary.attempts)
    lines.append(
        f"\nseed {summary.seed}: {summary.moments} moments in {summary.seconds:.0f} s, {summary.kills} workers killed, "
        f"{len(oracle.chats)} conversations of {len(oracle.people)} people, due {oracle.due} times, "
        f"{oracle.late} times not before the next cron"
    )
    states = Counter((row.state, row.reason) for row in oracle.rows.values())
    lines += [f"  {count} {state} {reason or ''}" for (state, reason), count in sorted(states.items(), key=str)]
    refused = ", ".join(f"{answer} {count}x" for answer, count in sorted(answers.items()))
    lines.append(f"  mail server: {summary.first_mails} mails; {refused}; turned away {summary.turned_away}x")
    lines += [f"  repeat explained {count}x: {why}" for why, count in Counter(oracle.explained).most_common()]
    kinds = ", ".join(f"{kind} {count}x" for kind, count in Counter(wrong.kind for wrong in oracle.wrong).items())
    lines.append(f"{len(oracle.wrong)} wrong{': ' + kinds if kinds else ''}")
    return lines


if __name__ == "__main__":
    sys.exit(main())
