"""What the sink reads from the environment: its port, and what the senders were told to use."""

from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SinkSettings(BaseSettings):
    """The sink checks requests against the same variables that the worker sends by; what is unset is not checked."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    sink_port: Annotated[int, Field(ge=0, le=65535)] = 9000
    slack_webhook_url: SecretStr | None = None
    monday_api_key: SecretStr | None = None
    monday_board_id: str | None = None
    monday_columns: dict[str, str] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _blank_means_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @property
    def slack_path(self) -> str | None:
        """The one path that a message may come to, or None when any webhook path will do."""
        return urlsplit(self.slack_webhook_url.get_secret_value()).path if self.slack_webhook_url else None
