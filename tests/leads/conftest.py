"""The remote and the settings of delivery's tests."""

from tests.delivery.conftest import monday, receiver

__all__ = ["monday", "receiver"]
