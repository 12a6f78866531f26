"""What the sink reads from the environment: its ports, and what the senders were told to use."""

from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

HIGHEST_PORT = 65_535


class SinkSettings(BaseSettings):
    """The sink checks requests against the same variables that the worker sends by; what is unset is not checked."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    sink_port: Annotated[int, Field(ge=0, le=HIGHEST_PORT)] = 9000
    sink_smtp_port: Annotated[int | None, Field(ge=0, le=HIGHEST_PORT)] = None
    slack_webhook_url: SecretStr | None = None
    monday_api_key: SecretStr | None = None
    monday_board_id: str | None = None
    monday_columns: dict[str, str] = Field(default_factory=dict)
    smtp_url: SecretStr | None = None

    @model_validator(mode="before")
    @classmethod
    def _blank_means_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @property
    def smtp_port(self) -> int:
        """Where mail is taken: the port after the page's unless SINK_SMTP_PORT says otherwise; 0 is any free one."""
        if self.sink_smtp_port is not None:
            return self.sink_smtp_port
        return self.sink_port + 1 if 0 < self.sink_port < HIGHEST_PORT else 0

    @property
    def smtp_account(self) -> tuple[str, str] | None:
        """The user and password that mail may be handed in with, or None when anyone may."""
        parts = urlsplit(self.smtp_url.get_secret_value()) if self.smtp_url else None
        return (unquote(parts.username), unquote(parts.password or "")) if parts and parts.username else None

    @property
    def slack_path(self) -> str | None:
        """The one path that a message may come to, or None when any webhook path will do."""
        return urlsplit(self.slack_webhook_url.get_secret_value()).path if self.slack_webhook_url else None
