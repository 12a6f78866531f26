"""What both embedded servers have in common: a port of 127.0.0.1 and a password."""

import secrets
from collections.abc import Callable
from pathlib import Path

from app.devstack.process import free_port, nothing, port_is_free
from app.devstack.unit import Unit


class EmbeddedServer(Unit):
    """A server on 127.0.0.1.

    The first start takes the wanted port if it is free, else another; every later one comes back on the same port, so
    that its URL never changes.
    """

    name = "server"

    def __init__(
        self, *, log: Path, password: str | None, port: int | None, while_waiting: Callable[[], None] = nothing
    ) -> None:
        super().__init__(log=log, while_waiting=while_waiting)
        self.password = password or secrets.token_urlsafe(24)
        self._wanted_port = port
        self._port: int | None = None
        self._may_move = True

    @property
    def port(self) -> int:
        """The port it serves; known once it has been launched."""
        if self._port is None:
            raise RuntimeError(f"{self.name} has not been started")
        return self._port

    def launch(self) -> None:
        """The first half of start(): returns with the process running, before it answers."""
        self._may_move = self._port is None
        if self._port is None:
            wanted = self._wanted_port
            self._port = wanted if wanted is not None and port_is_free(wanted) else free_port()
        super().launch()

    def _worth_another_try(self, said: str) -> bool:
        if "Address already in use" not in said or not self._may_move:
            return False
        self._port = free_port()
        return True

    def _reason(self, said: str) -> str:
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        return next((line for line in reversed(lines) if "FATAL" in line), lines[-1] if lines else "it said nothing")
