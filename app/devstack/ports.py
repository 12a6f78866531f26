"""Which ports a stack takes, and where everything is once its servers run."""

from collections.abc import Iterator
from dataclasses import dataclass

from app.devstack.process import DevstackError, free_port, port_is_free
from app.devstack.settings import HIGHEST_PORT, SINK_OFFSET, StackSettings

HOST = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """The ports of one run."""

    api: int
    sink: int
    smtp: int
    metrics: int


@dataclass(frozen=True)
class Addresses:
    """Where everything is."""

    ports: Ports
    database_url: str
    redis_url: str

    @property
    def api(self) -> str:
        """Base URL of the API."""
        return f"http://{HOST}:{self.ports.api}"

    @property
    def sink(self) -> str:
        """Base URL of the sink."""
        return f"http://{HOST}:{self.ports.sink}"

    @property
    def smtp(self) -> str:
        """Where the sink takes mail."""
        return f"smtp://{HOST}:{self.ports.smtp}"

    @property
    def metrics(self) -> str:
        """Where the worker shows its metrics."""
        return f"http://{HOST}:{self.ports.metrics}/metrics"


def choose_ports(settings: StackSettings) -> Ports:
    """Check that the ports somebody asked for are free, and choose the others. DevstackError names one that is taken.

    What nobody asked for is beside the API's port, or wherever there is room when that is taken.
    """
    if not port_is_free(settings.port):
        raise DevstackError(
            f"port {settings.port} is taken. Choose another, for example: PORT={_another(settings.port)} make up"
        )
    chosen = [settings.port]
    asked = {
        "SINK_PORT": settings.sink_port,
        "SINK_SMTP_PORT": settings.sink_smtp_port,
        "WORKER_METRICS_PORT": settings.worker_metrics_port or None,
    }
    for name, port in asked.items():
        if port is None:
            continue
        if port in chosen or not port_is_free(port):
            raise DevstackError(f"port {port} ({name}) is taken. Choose another, or leave it unset.")
        chosen.append(port)
    sink = settings.sink_port or _usual(settings.port + SINK_OFFSET, chosen)
    smtp = settings.sink_smtp_port or _usual(sink + 1, chosen)
    if settings.worker_metrics_port is not None:
        return Ports(settings.port, sink, smtp, settings.worker_metrics_port)
    return Ports(settings.port, sink, smtp, _usual(sink + 2, chosen))


def _usual(port: int, chosen: list[int]) -> int:
    """`port` or, when that is taken, any free one; added to `chosen`."""

    def candidates() -> Iterator[int]:
        if port <= HIGHEST_PORT and port_is_free(port):
            yield port
        while True:
            yield free_port()

    found = next(candidate for candidate in candidates() if candidate not in chosen)
    chosen.append(found)
    return found


def _another(port: int) -> int:
    """A port to suggest: the next free one in steps of ten."""
    candidates = range(port + 10, min(port + 1000, HIGHEST_PORT), 10)
    return next((candidate for candidate in candidates if port_is_free(candidate)), free_port())
