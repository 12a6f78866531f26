"""The one place that reads the environment. Every setting, its default and what a production start refuses."""

import re
from email.utils import parseaddr
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from limits import parse_many
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

_SPACE = 0x20
_HOST = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")
_MAX_LIMITS = 5
_MAX_AMOUNT = 1_000_000_000
_MAX_MULTIPLE = 1000

DEFAULT_MODEL = "gpt-4o-mini"
PRODUCTION_SECRETS = ("SECRET_KEY", "ADMIN_API_KEY", "DATABASE_URL", "REDIS_URL")
MIN_SECRET_BYTES = 32
DEVELOPMENT_SECRET = "development-only-secret"  # noqa: S105  production refuses to start with it
DEVELOPMENT_PREFIXES = ("dev-", "development-")
"""How secrets begin that `novahouse up` makes and docs show; production refuses them."""


class SettingsError(Exception):
    """The environment cannot be used. The message is one line that names the variable and never shows its value."""


def _asyncpg_url(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+asyncpg"}:
        raise ValueError("must start with postgresql://")
    return f"postgresql+asyncpg://{rest}"


def _redis_url(url: str) -> str:
    if urlsplit(url).scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("must start with redis://, rediss:// or unix://")
    return url


def _http_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ValueError("must be an http or https URL")
    return url.rstrip("/")


def _open_http_url(url: str) -> str:
    if "@" in urlsplit(url).netloc:
        raise ValueError("must hold no user and no password: a key goes into its own variable")
    return _http_url(url)


def _secret_http_url(url: SecretStr) -> SecretStr:
    return SecretStr(_http_url(url.get_secret_value()))


def _secret_smtp_url(url: SecretStr) -> SecretStr:
    parts = urlsplit(url.get_secret_value())
    if parts.scheme not in {"smtp", "smtps", "smtp+starttls"} or not parts.hostname:
        raise ValueError("must be smtp://, smtp+starttls:// or smtps:// with a host")
    return url


def _mailbox(text: str) -> str:
    _, address = parseaddr(text)
    _address(address)
    return text


def _address(text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not (at and local and domain) or any(character.isspace() or ord(character) < _SPACE for character in text):
        raise ValueError("must be an e-mail address")
    return text


def _rate_limit(text: str) -> str:
    try:
        found = parse_many(text)
    except ValueError:
        raise ValueError("must be like 30 per minute, several separated by semicolons") from None
    if len(found) > _MAX_LIMITS or any(each.amount > _MAX_AMOUNT or each.multiples > _MAX_MULTIPLE for each in found):
        raise ValueError(f"must be at most {_MAX_LIMITS} limits of at most {_MAX_AMOUNT} requests each")
    return text


def _proxy(text: str) -> str:
    if text != "*":
        try:
            ip_network(text)
        except ValueError:
            raise ValueError("must be networks such as 10.0.0.0/8, separated by commas") from None
    return text


def _everybody(proxies: tuple[str, ...]) -> bool:
    """Whether these networks together leave out no address of one family."""
    networks = [ip_network(proxy) for proxy in proxies if proxy != "*"]
    four = collapse_addresses([network for network in networks if isinstance(network, IPv4Network)])
    six = collapse_addresses([network for network in networks if isinstance(network, IPv6Network)])
    return "*" in proxies or IPv4Network("0.0.0.0/0") in four or IPv6Network("::/0") in six


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _blank_is_absent(value: Any) -> Any:
    return None if isinstance(value, str) and not value.strip() else value


def _refuse_weak(name: str, secret: SecretStr | None) -> None:
    value = secret.get_secret_value() if secret else ""
    if len(value.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"{name} must have at least {MIN_SECRET_BYTES} bytes when ENVIRONMENT=production")
    if value.startswith(DEVELOPMENT_PREFIXES):
        raise ValueError(f"{name} is one made for development; production needs its own")


def _origins(origins: tuple[str, ...]) -> tuple[str, ...]:
    for origin in origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.hostname or origin != f"{parts.scheme}://{parts.netloc}":
            raise ValueError("must be origins such as https://www.example.com, without a path or a wildcard")
        if "*" in origin or "@" in origin:
            raise ValueError("must be whole origins: a wildcard would let every page in")
    return tuple(origin.lower() for origin in origins)


def _hosts(hosts: tuple[str, ...]) -> tuple[str, ...]:
    if any(not _HOST.fullmatch(host) for host in hosts):
        raise ValueError("must be host names such as api.example.com, without a scheme, a port or a wildcard")
    return hosts


RateLimit = Annotated[str, AfterValidator(_rate_limit)]
"""Limits in the notation of the limits library: `30 per minute`, `5/second; 200 per hour`."""
CommaSeparated = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)]
OptionalSecret = Annotated[SecretStr | None, BeforeValidator(_blank_is_absent)]
OptionalText = Annotated[str | None, BeforeValidator(_blank_is_absent)]


class Settings(BaseSettings):
    """What the environment says. Names are the variables' names in lower case; durations carry their unit."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    environment: Literal["development", "production"] = "development"
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    database_url: Annotated[str, AfterValidator(_asyncpg_url)] = (
        "postgresql://novahouse:novahouse@127.0.0.1:5432/novahouse"
    )
    database_pool_size: Annotated[int, Field(ge=1, le=100)] = 8
    redis_url: Annotated[str, AfterValidator(_redis_url)] = "redis://127.0.0.1:6379/0"

    secret_key: OptionalSecret = None
    secret_keys_retired: Annotated[tuple[SecretStr, ...], NoDecode, BeforeValidator(_comma_separated)] = ()
    admin_api_key: OptionalSecret = None
    public_base_url: Annotated[str, AfterValidator(_http_url)] = "http://127.0.0.1:8000"
    allowed_origins: Annotated[CommaSeparated, AfterValidator(_origins)] = ()
    allowed_hosts: Annotated[CommaSeparated, AfterValidator(_hosts)] = ()
    trusted_proxies: Annotated[
        tuple[Annotated[str, AfterValidator(_proxy)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = ()

    chat_rate_limit: RateLimit = "30 per minute"
    api_rate_limit_hour: RateLimit = "200 per hour"
    api_rate_limit_minute: RateLimit = "50 per minute"
    bulk_rate_limit: RateLimit = "1200 per minute"
    rate_limit_seconds: Annotated[float, Field(gt=0, le=2)] = 0.1
    max_requests: Annotated[int, Field(ge=1, le=100_000)] = 500
    max_streams: Annotated[int, Field(ge=0, le=100_000)] = 500
    stream_seconds: Annotated[float, Field(ge=1, le=3600)] = 900
    max_connections: Annotated[int, Field(ge=10, le=100_000)] = 2000
    receive_seconds: Annotated[float, Field(gt=0, le=300)] = 10
    request_seconds: Annotated[float, Field(gt=0, le=300)] = 30

    slack_webhook_url: Annotated[SecretStr, AfterValidator(_secret_http_url)] | None = None
    monday_api_key: OptionalSecret = None
    monday_board_id: OptionalText = None
    monday_api_url: Annotated[str, AfterValidator(_http_url)] = "https://api.monday.com/v2"
    monday_columns: dict[str, str] = Field(default_factory=dict)

    smtp_url: Annotated[SecretStr, AfterValidator(_secret_smtp_url)] | None = None
    mail_from: Annotated[str, AfterValidator(_mailbox)] | None = None
    escalation_email: Annotated[str, AfterValidator(_address)] | None = None

    dkim_domain: OptionalText = None
    dkim_selector: OptionalText = None
    dkim_private_key: OptionalSecret = None

    nudge_minutes: Annotated[float, Field(ge=0, le=1440)] = 15
    session_timeout_minutes: Annotated[float, Field(ge=0, le=10_080)] = 30

    followup_minutes: Annotated[float, Field(gt=0, le=1440)] = 5
    followup_hours: Annotated[
        tuple[Annotated[float, Field(ge=1, le=8760)], ...],
        NoDecode,
        BeforeValidator(_comma_separated),
        Field(min_length=1, max_length=10),
    ] = (24, 72, 168)
    followup_opens: Annotated[int, Field(ge=0, le=22)] = 9
    followup_closes: Annotated[int, Field(ge=1, le=24)] = 20

    high_score_lead_threshold: Annotated[int, Field(ge=0, le=100)] = 80

    knowledge_dir: Annotated[Path | None, BeforeValidator(_blank_is_absent)] = None
    knowledge_check_seconds: Annotated[float, Field(ge=0, le=3600)] = 5

    openai_api_key: OptionalSecret = None
    openai_base_url: Annotated[str, AfterValidator(_open_http_url)] | None = None
    gpt_model: OptionalText = None
    gpt_rate_limit: RateLimit = "1000 per day"

    scheduler_enabled: bool = True
    alert_lease_seconds: Annotated[float, Field(ge=1, le=600)] = 60
    alert_sweep_seconds: Annotated[float, Field(gt=0, le=3600)] = 30
    alert_send_seconds: Annotated[float, Field(gt=0, le=30)] = 14
    alert_concurrency: Annotated[int, Field(ge=1, le=50)] = 8
    alert_max_age_hours: Annotated[float, Field(gt=0, le=720)] = 72
    cb_fail_max: Annotated[int, Field(ge=1, le=1000)] = 5
    cb_reset_timeout: Annotated[float, Field(gt=0, le=3600)] = 60
    dlq_max_retries: Annotated[int, Field(ge=0, le=20)] = 5
    dlq_retry_delay_minutes: Annotated[float, Field(gt=0, le=1440)] = 5
    dlq_retry_minutes: Annotated[float, Field(gt=0, le=1440)] = 5
    bulk_retry_per_second: Annotated[float, Field(gt=0, le=1000)] = 5
    dlq_cleanup_days: Annotated[float, Field(gt=0, le=3650)] = 30
    cache_cleanup_minutes: Annotated[float, Field(gt=0, le=1440)] = 10
    retention_chat_days: Annotated[float, Field(gt=0, le=3650)] = 90
    retention_lead_days: Annotated[float, Field(gt=0, le=3650)] = 365
    retention_evidence_days: Annotated[float, Field(gt=0, le=3650)] = 365
    retention_alert_days: Annotated[float, Field(gt=0, le=3650)] = 90
    erasure_ledger: OptionalText = None
    worker_metrics_port: Annotated[int, Field(ge=0, le=65535)] = 0
    audit_anchor: Annotated[Path | None, BeforeValidator(_blank_is_absent)] = None
    audit_checkpoint_minutes: Annotated[float, Field(gt=0, le=1440)] = 60
    drain_seconds: Annotated[float, Field(ge=0, le=20)] = 3

    @model_validator(mode="before")
    @classmethod
    def _blank_means_unset(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in values.items() if not (isinstance(value, str) and not value.strip())}

    @model_validator(mode="after")
    def _production_has_its_secrets(self) -> Self:
        if self.environment == "production":
            for name in PRODUCTION_SECRETS:
                if name.lower() not in self.model_fields_set:
                    raise ValueError(f"{name} must be set when ENVIRONMENT=production")
            _refuse_weak("SECRET_KEY", self.secret_key)
            _refuse_weak("ADMIN_API_KEY", self.admin_api_key)
        return self

    @model_validator(mode="after")
    def _production_trusts_named_proxies(self) -> Self:
        if self.environment == "production" and _everybody(self.trusted_proxies):
            raise ValueError(
                "TRUSTED_PROXIES must name networks when ENVIRONMENT=production: with * or /0 anybody is anybody"
            )
        return self

    @model_validator(mode="after")
    def _lease_outlasts_a_send(self) -> Self:
        if self.alert_lease_seconds <= self.alert_send_seconds:
            raise ValueError("ALERT_LEASE_SECONDS must be longer than ALERT_SEND_SECONDS")
        return self

    @model_validator(mode="after")
    def _followups_make_sense(self) -> Self:
        if list(self.followup_hours) != sorted(set(self.followup_hours)):
            raise ValueError("FOLLOWUP_HOURS must rise, such as 24,72,168")
        if self.followup_opens >= self.followup_closes:
            raise ValueError("FOLLOWUP_OPENS must be before FOLLOWUP_CLOSES")
        return self

    @model_validator(mode="after")
    def _a_nudge_finds_somebody(self) -> Self:
        if 0 < self.session_timeout_minutes <= self.nudge_minutes:
            raise ValueError("NUDGE_MINUTES must be less than SESSION_TIMEOUT_MINUTES; 0 switches either off")
        return self

    @model_validator(mode="after")
    def _dkim_is_whole(self) -> Self:
        dkim = (self.dkim_domain, self.dkim_selector, self.dkim_private_key)
        if any(dkim) and not all(dkim):
            raise ValueError("DKIM_DOMAIN, DKIM_SELECTOR and DKIM_PRIVATE_KEY go together")
        return self

    @property
    def secret_values(self) -> tuple[str, ...]:
        """Every value that must never be shown, the passwords within URLs too."""
        values = (getattr(self, name) for name in type(self).model_fields)
        flat = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
        secrets = [item.get_secret_value() for item in flat if isinstance(item, SecretStr)]
        urls = (self.database_url, self.redis_url, *(text for text in secrets if "://" in text))
        return (*secrets, *(password for url in urls if (password := urlsplit(url).password)))

    @property
    def hosts(self) -> tuple[str, ...]:
        """The host names that requests must name, loopback aside; none in development, where any will do."""
        if self.environment == "development":
            return ()
        netloc = urlsplit(self.public_base_url).netloc.rpartition("@")[2]
        return (re.sub(r":\d*$", "", netloc), *self.allowed_hosts)

    @property
    def transport_security(self) -> bool:
        """Whether the public reaches us by TLS."""
        return self.public_base_url.startswith("https:")

    @property
    def rate_limits(self) -> dict[str, str]:
        """The value of every policy, by its name."""
        return {
            "chat": self.chat_rate_limit,
            "api-hour": self.api_rate_limit_hour,
            "api-minute": self.api_rate_limit_minute,
            "bulk": self.bulk_rate_limit,
            "model": self.gpt_rate_limit,
        }

    @property
    def language_model(self) -> str | None:
        """The model that may help with answers; None: no model is asked.

        A key turns one on. A server that wants no key has to be named together with its model.
        """
        if self.openai_api_key is not None:
            return self.gpt_model or DEFAULT_MODEL
        return self.gpt_model if self.openai_base_url is not None else None

    @property
    def slack_configured(self) -> bool:
        """Slack is on exactly when its webhook is known."""
        return self.slack_webhook_url is not None

    @property
    def monday_configured(self) -> bool:
        """monday.com is on exactly when both its key and its board are known."""
        return self.monday_api_key is not None and self.monday_board_id is not None

    @property
    def email_configured(self) -> bool:
        """E-mail is on exactly when both the server and the sender are known."""
        return self.smtp_url is not None and self.mail_from is not None

    @property
    def configured_channels(self) -> tuple[str, ...]:
        """Every channel that has its settings."""
        return (*self.alert_channels, *(("email",) if self.email_configured else ()))

    @property
    def pager_channels(self) -> tuple[str, ...]:
        """Where people who run the service are told of trouble, the best first."""
        email = self.email_configured and self.escalation_email is not None
        return (*(("email",) if email else ()), *(("slack",) if self.slack_configured else ()))

    @property
    def alert_channels(self) -> tuple[str, ...]:
        """Channels that sales alerts go to, in a fixed order. Empty when none is configured."""
        configured = {"slack": self.slack_configured, "monday": self.monday_configured}
        return tuple(name for name, on in configured.items() if on)


def read_settings() -> Settings:
    """Read the environment now.

    Raises SettingsError with one line that names the first variable at fault.
    """
    try:
        return Settings()
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = "_".join(str(part) for part in first["loc"][:1]).upper()
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise SettingsError(f"{where}: {reason}" if where else reason) from None


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The settings of this process, read once."""
    return read_settings()
