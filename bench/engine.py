"""CPU time of one answer, over conversations as visitors have them and over hard messages; and the engine's memory."""

import time
import tracemalloc

from app.core import clock
from app.engine.engine import Engine
from app.engine.types import Answer, Slots, Turn
from bench.messages import CONVERSATIONS, HARD
from bench.report import Report, percentile


def measure(report: Report, *, rounds: int) -> None:
    """Have every conversation `rounds` times, remembering as the chat does, and report CPU milliseconds an answer."""
    report.add("engine: MB of memory, loaded", _loaded_megabytes(), at_most=30.0)
    engine = Engine.load()
    usual = [spent for _ in range(rounds) for talk in CONVERSATIONS for spent in _talk(engine, talk)]
    hard = [spent for _ in range(rounds) for text in HARD for spent in _talk(engine, (text,))]
    report.add("engine: CPU ms an answer, p50", percentile(usual, 50))
    report.add("engine: CPU ms an answer, p99", percentile(usual, 99), at_most=2.0)
    report.add("engine: CPU ms, 2,000 odd characters, p99", percentile(hard, 99))


def _loaded_megabytes() -> float:
    """What Python allocates for a loaded engine."""
    tracemalloc.start()
    try:
        engine = Engine.load()
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    del engine
    return held / 1e6


def _talk(engine: Engine, conversation: tuple[str, ...]) -> list[float]:
    spent = []
    said: Answer | None = None
    for text in conversation:
        turn = Turn(
            text=text,
            locale="pl",
            now=clock.now(),
            slots=said.slots if said else Slots(),
            memory=said.memory if said else {},
        )
        started = time.process_time()
        said = engine.answer(turn)
        spent.append((time.process_time() - started) * 1000)
    return spent
