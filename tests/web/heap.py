"""Runs a module as `python -m` does, and says at its end how many objects the garbage collector leaves alone."""

import atexit
import gc
import runpy
import sys


def _say() -> None:
    sys.stderr.write(f"frozen objects: {gc.get_freeze_count()}\n")


if __name__ == "__main__":
    atexit.register(_say)
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
