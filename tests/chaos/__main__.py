"""`python -m tests.chaos --rounds 50 --seed 1`: 0 when nothing was lost and every repeat is explained, else 1."""

import argparse
import asyncio
import secrets
import sys
from collections import Counter

from app.core.logging import configure_logging
from tests.chaos.rounds import Summary, run


def say(line: str) -> None:
    """A line for the person at the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Run as the command line says."""
    parser = argparse.ArgumentParser(prog="make chaos", description="Kill everything at random and count the alerts.")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="of the plan, not of the timing")
    parser.add_argument("--workers", type=int, default=3)
    chosen = parser.parse_args()
    configure_logging(level="WARNING", json=False)
    say(f"seed {chosen.seed}")
    summary = asyncio.run(run(rounds=chosen.rounds, seed=chosen.seed, workers=chosen.workers, say=say))
    report(summary)
    return 1 if summary.failed else 0


def report(summary: Summary) -> None:
    """The summary, and the evidence when there is something to prove."""
    found = summary.findings
    for name, lines in found.evidence.items():
        say("\n".join([f"\n{name}", *lines]))
    for what in found.wrong:
        say(f"WRONG {what}")
    blows = ", ".join(f"{what} {count}x" for what, count in sorted(summary.blows.items()))
    say(
        f"\n{summary.rounds} rounds in {summary.seconds:.0f} s: {found.alerts} alerts, {summary.requests} requests, "
        f"{summary.retries} retries of visitors; {blows}"
    )
    for why, count in Counter(found.explained).most_common():
        say(f"  repeat explained {count}x: {why}")
    say(f"{len(found.lost)} lost, {len(found.explained)} repeats explained, {len(found.wrong)} wrong")


if __name__ == "__main__":
    sys.exit(main())
