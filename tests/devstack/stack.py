"""`novahouse up` as a real process under test, and a stand-in project whose parts start fast."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from signal import Signals

import psutil  # type: ignore[import-untyped]

from app.devstack.process import free_port, wait_until

RUN = """
import sys
from pathlib import Path
from app.devstack.up import run
sys.exit(run(Path(sys.argv[1]), with_parent=sys.argv[2] == "True"))
"""
PROJECT = Path(__file__).parents[2]
STAND_INS = {
    "alembic.py": "",
    "app/__init__.py": "",
    "app/main.py": """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            event = (await receive())["type"]
            await send({"type": f"{event}.complete"})
            if event == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})
""",
    "app/devstack/__init__.py": "",
    "app/devstack/sink.py": """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Sink(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

HTTPServer(("127.0.0.1", int(os.environ["SINK_PORT"])), Sink).serve_forever()
""",
    "worker/__init__.py": "",
    "worker/settings.py": """
import os
from arq.connections import RedisSettings

async def nothing(ctx):
    pass

class WorkerSettings:
    functions = [nothing]
    redis_settings = RedisSettings.from_dsn(os.environ["REDIS_URL"])
    poll_delay = 0.05
""",
}


def write_stand_in(root: Path) -> None:
    """Make root a project with the same parts under the same names, that do nothing."""
    for name, text in STAND_INS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


class Stack:
    """One NOVAHOUSE_HOME and the `novahouse up` processes a test starts in it."""

    def __init__(self, root: Path, home: Path, scratch: Path) -> None:
        self.root = root
        self.home = home
        self.port = free_port()
        self._scratch = scratch
        self._started: list[subprocess.Popen[bytes]] = []
        self._seen: set[psutil.Process] = set()

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self.port}"

    def launch(self, environment: Mapping[str, str] | None = None, *, under_a_parent: bool = False) -> "Run":
        """Start `novahouse up` and return at once. under_a_parent puts a shell above it, which it should end with."""
        output = self._scratch / f"output-{len(self._started)}"
        clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        told = {"PORT": str(self.port), "NOVAHOUSE_HOME": str(self.home), "PYTHONPATH": str(PROJECT)}
        with output.open("wb") as sink:
            process = subprocess.Popen(  # noqa: S603
                [
                    *(("sh", "-c", '"$@"; exit $?', "sh") if under_a_parent else ()),
                    *(sys.executable, "-c", RUN, str(self.root), str(under_a_parent)),
                ],
                env=clean | told | dict(environment or {}),
                cwd=self._scratch,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )
        self._started.append(process)
        return Run(process, output, self._seen)

    def start(self, environment: Mapping[str, str] | None = None) -> "Run":
        """Start `novahouse up` and wait until it says that all is ready."""
        run = self.launch(environment)
        run.wait_for("Ctrl-C stops everything")
        return run

    def nobody(self) -> bool:
        """Whether no process of any run in this home is left."""
        return not [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        home = str(self.home)
        try:
            return home in " ".join(process.cmdline()) or process.environ().get("NOVAHOUSE_HOME") == home
        except psutil.Error:
            return False

    def clear(self) -> None:
        """End whatever a failed test left."""
        for process in self._started:
            if process.poll() is None:
                self._seen.update(psutil.Process(process.pid).children(recursive=True))
                process.kill()
            process.wait()
        for straggler in self._seen:
            if straggler.is_running():
                straggler.kill()
        psutil.wait_procs(self._seen, timeout=10)


class Run:
    """One `novahouse up`."""

    def __init__(self, process: "subprocess.Popen[bytes]", output: Path, seen: set[psutil.Process]) -> None:
        self.process = process
        self.pid = process.pid
        self._output = output
        self._seen = seen

    @property
    def output(self) -> str:
        """What it has written so far, to stdout and stderr."""
        return self._output.read_text()

    def wait_for(self, text: str, *, times: int = 1) -> None:
        """Until it has written this so many times."""

        def written() -> bool:
            assert self.process.poll() is None or self.output.count(text) >= times, self.output
            return self.output.count(text) >= times

        assert wait_until(written, seconds=40), self.output

    def family(self) -> list[psutil.Process]:
        """Every process below it now."""
        family: list[psutil.Process] = psutil.Process(self.pid).children(recursive=True)
        self._seen.update(family)
        return family

    def child(self, *words: str) -> psutil.Process:
        """The child whose command line has these words."""
        found = [child for child in self.family() if set(words) <= set(child.cmdline())]
        assert len(found) == 1, [child.cmdline() for child in self.family()]
        return found[0]

    def fact(self, name: str) -> str:
        """What it printed last for this name."""
        lines = reversed(self.output.splitlines())
        return next(line.split(maxsplit=1)[1] for line in lines if line.strip().startswith(f"{name} "))

    def end(self, signal: Signals = Signals.SIGTERM) -> int:
        """Signal it, wait for its end, and return its exit code; nobody of its family may be left."""
        family = self.family()
        self.process.send_signal(signal)
        code = self.process.wait(timeout=40)
        _, left = psutil.wait_procs(family, timeout=10 if signal == Signals.SIGKILL else 0)
        assert not left, left
        return code

    def exit_code(self) -> int:
        """Its exit code, once it has ended by itself."""
        return self.process.wait(timeout=40)
