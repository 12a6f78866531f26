"""`python -m app.devstack`: `novahouse up` without the rest of the command line, which takes longer to import."""

import sys
from pathlib import Path

from app.devstack.up import run

if __name__ == "__main__":
    sys.exit(run(Path(__file__).parents[2], with_parent="--stop-with-parent" in sys.argv[1:]))
