"""CPU time of one answer, over messages as visitors write them."""

import time

from app.core import clock
from app.engine.engine import Engine
from app.engine.types import Turn
from bench.report import Report

MESSAGES = (
    "ile wyjdzie za 50 m w comforcie?",
    "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333",
    "poprosze wycene 62m2 expres plus",
    "dysponuje kwota ok 90 000 zl, metraz 60",
    "działacie w gdyni?",
    "how long does Comfort take and what is included?",
    "nie wiem, a co polecacie na wynajem",
    "asdf qwer zxcv " * 30,
)
ROUNDS = 200


def measure(report: Report) -> None:
    """Answer every message many times and report CPU milliseconds."""
    engine = Engine.load()
    spent = []
    for _ in range(ROUNDS):
        for text in MESSAGES:
            started = time.process_time()
            engine.answer(Turn(text=text, locale="pl", now=clock.now()))
            spent.append((time.process_time() - started) * 1000)
    spent.sort()
    report.add("engine: CPU ms an answer, p50", spent[len(spent) // 2])
    report.add("engine: CPU ms an answer, p99", spent[int(len(spent) * 0.99)], at_most=2.0)
