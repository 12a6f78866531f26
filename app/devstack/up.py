"""`novahouse up`: what the stack consists of, in which order it starts, what it tells the person at the terminal."""

import http.client
import shlex
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from app.devstack.home import Home, Memory
from app.devstack.interrupts import Interrupts, StopRequested
from app.devstack.ports import HOST, Addresses, Ports, choose_ports
from app.devstack.postgres import EmbeddedPostgres
from app.devstack.process import DevstackError, Process, wait_until
from app.devstack.redis import EmbeddedRedis
from app.devstack.resp import RedisClient, RedisUnavailable
from app.devstack.settings import StackSettings, environment_with
from app.devstack.supervisor import Supervisor, say
from app.devstack.unit import Program

POSTGRES_PORT = 5432
HTTP_SECONDS = 2.0
MIGRATION_SECONDS = 600.0
DRAIN_LIMIT_SECONDS = 27.0  # the worker itself gives its jobs 20
WORKER_HEARTBEAT = "arq:queue:health-check"
HEARTBEAT_STEP_MS = 50
EXAMPLE = (
    "Mam 52m2 w Warszawie, pakiet Premium, proszę o kontakt 691 222 333",
    "tak, wyrażam zgodę na kontakt w sprawie oferty",
)


def run(root: Path, *, with_parent: bool = False) -> int:
    """Run the stack of the project at root until it is asked to stop. Returns the exit code; errors are one message."""
    try:
        with Interrupts(with_parent=with_parent) as interrupts:
            return _run(root, StackSettings.read(), interrupts)
    except DevstackError as error:
        sys.stderr.write(f"novahouse up: {error}\n")
    except OSError as error:
        sys.stderr.write(f"novahouse up: {error.strerror or error} {error.filename or ''}\n")
    return 1


def _run(root: Path, settings: StackSettings, interrupts: Interrupts) -> int:
    began = time.monotonic()
    home = Home(settings.novahouse_home or root / ".novahouse")
    url = f"http://{HOST}:{settings.port}"
    if home.exists:
        home.hold(url)
    ports = choose_ports(settings)
    home.hold(url)
    if leftovers := home.end_leftovers():
        say(f"  {leftovers} processes of a run that was killed have been ended")
    supervisor = Supervisor(home, interrupts)
    try:
        memory = home.recall()
        addresses = _start(root, settings, home, memory, supervisor, interrupts, ports)
        _tell(addresses, settings, memory, home, seconds=time.monotonic() - began)
        supervisor.watch()
    except StopRequested:
        pass
    finally:
        say("\nStopping ...")
        supervisor.stop()
        home.release()
    say("Stopped. The data is kept.")
    return 0


def _start(
    root: Path,
    settings: StackSettings,
    home: Home,
    memory: Memory,
    supervisor: Supervisor,
    interrupts: Interrupts,
    ports: Ports,
) -> Addresses:
    with _modules_compiled_meanwhile(root, home):
        database_url, redis_url = _start_servers(settings, home, memory, supervisor, interrupts)
        addresses = Addresses(ports, database_url, redis_url)
        environment = _environment(addresses, memory)
        programs = _programs(root, home, addresses, environment, interrupts)
        _migrate(root, home, environment, interrupts)
    supervisor.launch(programs["sink"])
    supervisor.launch(programs["api"], programs["worker"])
    supervisor.wait_ready(*programs.values())
    home.publish(environment)
    return addresses


@contextmanager
def _modules_compiled_meanwhile(root: Path, home: Home) -> Iterator[None]:
    """In a new home, import the service once beside initdb, or API and worker would each compile all of it later."""
    if not home.new:
        yield
        return
    command = [sys.executable, "-c", "import app.main, worker.settings, app.devstack.sink.app"]
    process = Process("warm-up", command, log=home.log("warm-up"), env=environment_with({}), cwd=root)
    try:
        yield
    finally:
        process.kill()


def _start_servers(
    settings: StackSettings, home: Home, memory: Memory, supervisor: Supervisor, interrupts: Interrupts
) -> tuple[str, str]:
    """Start the servers nobody gave a URL for; check the reach of those somebody did. Returns both URLs."""
    postgres = EmbeddedPostgres(
        home.path / "postgres",
        durable=True,
        password=memory.postgres_password,
        port=memory.postgres_port,
        log=home.log("postgres"),
        while_waiting=interrupts.check,
    )
    redis = EmbeddedRedis(
        home.path / "redis",
        password=memory.redis_password,
        port=memory.redis_port,
        log=home.log("redis"),
        while_waiting=interrupts.check,
    )
    if settings.redis_url is None:
        supervisor.start(redis)
        memory.redis_password, memory.redis_port = redis.password, redis.port
    else:
        _check_redis(settings.redis_url)
    if settings.database_url is None:
        if not postgres.data_dir.exists():
            say(f"  {postgres.name:<11} makes a new database in {postgres.data_dir}")
        supervisor.start(postgres)
        memory.postgres_password, memory.postgres_port = postgres.password, postgres.port
    else:
        _check_database(settings.database_url)
    home.remember(memory)
    return settings.database_url or postgres.url, settings.redis_url or redis.url


def _check_redis(url: str) -> None:
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise DevstackError("REDIS_URL must start with redis://, rediss:// or unix://")
    try:
        RedisClient(url).ping()
    except RedisUnavailable as reason:
        raise DevstackError(f"Redis does not answer at REDIS_URL: {reason}") from None


def _check_database(url: str) -> None:
    """Whether something listens there. Whether it is the right thing, the migration finds out."""
    parts = urlsplit(url)
    try:
        if parts.hostname is None:
            return
        with socket.create_connection((parts.hostname, parts.port or POSTGRES_PORT), timeout=HTTP_SECONDS):
            return
    except (OSError, ValueError) as failure:
        raise DevstackError(f"PostgreSQL cannot be reached at DATABASE_URL: {failure}") from None


def _environment(addresses: Addresses, memory: Memory) -> dict[str, str]:
    """What every process of the service is told, unless the caller's environment says otherwise."""
    return environment_with(
        {
            "DATABASE_URL": addresses.database_url,
            "REDIS_URL": addresses.redis_url,
            "ADMIN_API_KEY": memory.admin_api_key,
            "SECRET_KEY": memory.secret_key,
            "PUBLIC_BASE_URL": addresses.api,
            "SLACK_WEBHOOK_URL": f"{addresses.sink}/slack/services/T00000000/B00000000/{'X' * 24}",
            "MONDAY_API_URL": f"{addresses.sink}/monday/v2",
            "MONDAY_API_KEY": memory.monday_api_key,
            "MONDAY_BOARD_ID": "1234567890",
            "SMTP_URL": addresses.smtp,
            "MAIL_FROM": "NovaHouse <czat@novahouse.example>",
            "ESCALATION_EMAIL": "ops@novahouse.example",
            "DRAIN_SECONDS": "0",
            "PYTHONUNBUFFERED": "1",
        }
    ) | {
        "SINK_PORT": str(addresses.ports.sink),
        "SINK_SMTP_PORT": str(addresses.ports.smtp),
        "WORKER_METRICS_PORT": str(addresses.ports.metrics),
    }


def _programs(
    root: Path, home: Home, addresses: Addresses, environment: Mapping[str, str], interrupts: Interrupts
) -> dict[str, Program]:
    commands: dict[str, tuple[list[str], Callable[[], bool]]] = {
        "sink": (["app.devstack.sink"], lambda: _serves(addresses.ports.sink, "/health")),
        "api": (
            [
                *("uvicorn", "app.main:app", "--host", HOST, "--port", str(addresses.ports.api)),
                *("--no-access-log", "--no-proxy-headers"),
            ],
            lambda: _serves(addresses.ports.api, "/health/ready"),
        ),
        "worker": (["arq", "worker.settings.WorkerSettings"], WorkerHeartbeat(addresses.redis_url)),
    }
    programs = {
        name: Program(
            name,
            [sys.executable, "-m", *command],
            env=environment,
            cwd=root,
            log=home.log(name),
            answers=answers,
            while_waiting=interrupts.check,
        )
        for name, (command, answers) in commands.items()
    }
    for name in ("api", "worker"):
        programs[name].stop_seconds = DRAIN_LIMIT_SECONDS
    return programs


def _migrate(root: Path, home: Home, environment: Mapping[str, str], interrupts: Interrupts) -> None:
    command = [sys.executable, "-m", "alembic", "upgrade", "head"]
    process = Process("migrate", command, log=home.log("migrate"), env=environment, cwd=root)
    try:
        wait_until(process.everyone_gone, seconds=MIGRATION_SECONDS, while_waiting=interrupts.check)
    finally:
        process.kill()
    if process.exit_code() != 0:
        raise DevstackError(f"the migration failed: {process.last_line()}\nIts log: {process.log}")
    say(f"  {'migrations':<11} done after {round((time.monotonic() - process.started) * 1000)} ms")


def _serves(port: int, path: str) -> bool:
    with closing(http.client.HTTPConnection(HOST, port, timeout=HTTP_SECONDS)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == http.client.OK
        except (OSError, http.client.HTTPException):
            return False


class WorkerHeartbeat:
    """True when arq's health key was written since the last question: a running worker renews its life."""

    def __init__(self, redis_url: str) -> None:
        self._redis = RedisClient(redis_url)
        self._left = -1
        self._asked = time.monotonic()
        with suppress(RedisUnavailable):
            self._left = self._redis.milliseconds_left(WORKER_HEARTBEAT)

    def __call__(self) -> bool:
        now = time.monotonic()
        try:
            left = self._redis.milliseconds_left(WORKER_HEARTBEAT)
        except RedisUnavailable:
            return False
        expected = self._left - (now - self._asked) * 1000
        self._left, self._asked = left, now
        return left > 0 and left > expected + HEARTBEAT_STEP_MS


def _tell(addresses: Addresses, settings: StackSettings, memory: Memory, home: Home, *, seconds: float) -> None:
    """What a newcomer needs: where things are, and two lines to paste. Secrets of the caller's own are not repeated."""
    facts = {
        "API": addresses.api,
        "API docs": f"{addresses.api}/docs",
        "Sink": f"{addresses.sink}  (plays Slack, monday.com and a mail server: alerts arrive here)",
        "Mail": "as in SMTP_URL" if settings.smtp_url else f"{addresses.smtp}  (arrives in the sink too)",
        "Metrics": f"{addresses.metrics}  (the worker's)" if addresses.ports.metrics else "off",
        "Admin key": "as in ADMIN_API_KEY" if settings.admin_api_key else memory.admin_api_key,
        "PostgreSQL": "as in DATABASE_URL" if settings.database_url else addresses.database_url,
        "Redis": "as in REDIS_URL" if settings.redis_url else addresses.redis_url,
        "Logs": str(home.logs),
    }
    json_header = "-H 'Content-Type: application/json'"
    token = 'import json, sys; print(json.load(sys.stdin)["session_token"])'  # noqa: S105  code that reads one
    sends = [
        f'curl -s {addresses.api}/v1/chat/messages -H "Authorization: Bearer $TOKEN" {json_header} -d '
        + shlex.quote(f'{{"text": "{text}"}}')
        for text in EXAMPLE
    ]
    say(f"\nNovaHouse is ready after {seconds:.1f} s.\n")
    for name, fact in facts.items():
        say(f"  {name:<11} {fact}")
    say(
        "\nTry it:\n\n"
        f'TOKEN=$(curl -s {addresses.api}/v1/chat/sessions {json_header} -d \'{{"locale": "pl"}}\''
        f" | python3 -c '{token}')\n"
        + "\n".join(sends)
        + f"\n\nThen look at {addresses.sink}. Ctrl-C stops everything."
    )
