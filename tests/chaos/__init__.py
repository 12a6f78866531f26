"""Random kills of workers, Redis and PostgreSQL under load, judged from outside: `python -m tests.chaos`."""
