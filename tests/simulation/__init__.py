"""Two weeks of follow-ups in minutes: real processes, a clock that leaps, an oracle: `python -m tests.simulation`."""
