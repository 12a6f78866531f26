"""The environment of `novahouse up`: what steers the stack itself, and what it passes on to the processes it starts."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.devstack.process import DevstackError

HIGHEST_PORT = 65_535
SINK_OFFSET = 1000

Port = Annotated[int, Field(ge=1, le=HIGHEST_PORT)]


class StackSettings(BaseSettings):
    """What steers the stack. A variable that is set but blank counts as unset."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    port: Port = 8000
    sink_port: Port | None = None
    sink_smtp_port: Port | None = None
    worker_metrics_port: Annotated[int, Field(ge=0, le=HIGHEST_PORT)] | None = None
    novahouse_home: Path | None = None
    database_url: str | None = None
    redis_url: str | None = None
    admin_api_key: str | None = None
    smtp_url: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _blank_means_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @classmethod
    def read(cls) -> Self:
        """Read the environment now. Raises DevstackError with one line that names the first variable at fault."""
        try:
            return cls()
        except ValidationError as invalid:
            first = invalid.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0]).upper()
            raise DevstackError(f"{name}: {first['msg']}") from None


def environment_with(defaults: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, with these values where it says nothing."""
    said = {name: value for name, value in os.environ.items() if name not in defaults or value.strip()}
    return {**defaults, **said}
