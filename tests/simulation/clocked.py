"""One of our processes under the simulation's clock: `python -m tests.simulation.clocked FILE uvicorn app.main:app`.

Everything of ours asks `app.core.clock.now`, so that is what is replaced, before any of it begins.
"""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.core import clock


def main() -> None:
    """Run the module that the command line names, as `python -m` does."""
    file, module, *arguments = sys.argv[1:]
    ahead = Path(file)

    def now() -> datetime:
        return datetime.now(UTC) + timedelta(microseconds=int(ahead.read_text(encoding="ascii")))

    setattr(clock, "now", now)  # noqa: B010  a plain assignment to a function is an error of types
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
