"""What the limiter stands on: slowapi's private parts that it reads, and a rule for every route there is."""

from collections.abc import Iterator
from importlib.metadata import version

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from limits import parse
from pydantic import SecretStr
from slowapi.errors import RateLimitExceeded
from slowapi.wrappers import Limit, LimitGroup

from app.core.settings import Settings, SettingsError, read_settings
from app.web.ratelimit import EXEMPT, Declarations, Table, bulk, chat, client, limiter, using

VALUES = {"chat": "30 per minute", "api-hour": "200 per hour", "api-minute": "50 per minute", "bulk": "99 per minute"}


def test_slowapi_is_the_version_that_was_read() -> None:
    assert version("slowapi") == "0.1.10"


def test_a_declared_route_is_kept_as_it_is_and_its_limits_are_read_back() -> None:
    own = Declarations(client, [bulk])

    async def route(request: object) -> object:
        return request

    assert own.limit(chat, policy="words")(route) is route
    assert isinstance(own._dynamic_route_limits, dict)
    (group,) = own._dynamic_route_limits[f"{__name__}.route"]
    assert isinstance(group, LimitGroup)
    with using(VALUES):
        (limit,) = own.limits_of(route)
        (default,) = own.limits_of(None)
    assert (limit.limit, limit.error_message, limit.key_func) == (parse("30 per minute"), "words", client)
    assert (default.limit, default.error_message) == (parse("99 per minute"), "bulk")
    assert own.setting_of("words") == "chat"


def test_slowapi_s_own_error_is_what_is_raised() -> None:
    with using(VALUES):
        (limit, *_) = limiter.limits_of(None)
    assert isinstance(limit, Limit)
    assert RateLimitExceeded(limit).status_code == 429


def test_the_environment_reaches_no_part_of_slowapi(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATELIMIT_ENABLED", "")
    monkeypatch.setenv("RATELIMIT_DEFAULT", "1 per day")
    own = Declarations(client, [bulk])
    with using(VALUES):
        assert [str(limit.limit) for limit in own.limits_of(None)] == ["99 per 1 minute"]


def test_a_key_is_the_library_s() -> None:
    with using(VALUES):
        table = Table([], VALUES)
    (window, *_) = table.unmatched.windows
    item = parse("200 per hour")
    assert item.key_for("somebody", "unmatched") == f"LIMITER/somebody{window.tail}"


def routes(app: FastAPI) -> Iterator[tuple[str, str]]:
    for route in iter_route_contexts(app.routes):
        for method in route.methods or ():
            assert route.path
            yield method, route.path


def test_every_route_has_a_limit_or_a_reason(app: FastAPI) -> None:
    ruled = {(method, path): rule for method, path, rule in Table(app.routes, VALUES).rules()}
    assert len(ruled) > 40
    for method, path in routes(app):
        rule = ruled[method, path]
        assert rule.exempt == (path in EXEMPT), path
        assert rule.windows, path


async def test_every_documented_operation_has_its_rule(app: FastAPI, client: httpx.AsyncClient) -> None:
    table = Table(app.routes, VALUES)
    document = (await client.get("/openapi.json")).json()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            concrete = path.replace("{", "").replace("}", "")
            rule = table.rule({"method": method.upper(), "path": concrete})
            assert rule is not table.unmatched, (method, path)
            asks_for_key = any("apiKey" in each for each in operation.get("security", ()))
            assert bool(rule.keyed) == asks_for_key, (method, path)


def test_every_exemption_is_of_a_route_that_exists(app: FastAPI) -> None:
    assert EXEMPT.keys() <= {path for _, path in routes(app)}
    assert all(EXEMPT.values())


def test_the_chat_is_limited_by_visitor_and_by_conversation(app: FastAPI) -> None:
    table = Table(app.routes, VALUES)
    said = table.rule({"method": "POST", "path": "/v1/chat/messages"})
    assert {window.policy for window in said.windows} == {"chat", "chat-site", "chat-conversation"}
    assert table.rule({"method": "POST", "path": "/v1/chat/messages/"}) is table.unmatched
    assert table.rule({"method": "PUT", "path": "/v1/chat/messages"}) is table.unmatched
    one_click = table.rule({"method": "POST", "path": "/u/token"})
    assert [window.policy for window in one_click.windows] == ["bulk", "bulk-site"]


@pytest.mark.parametrize(
    "value",
    [
        "often",
        "30",
        "30 per fortnight",
        "-1 per minute",
        "30 per minute;",
        "1e9 per day",
        "9999999999 per minute",
        "1;2",
    ],
)
@pytest.mark.parametrize("name", ["CHAT_RATE_LIMIT", "API_RATE_LIMIT_HOUR", "API_RATE_LIMIT_MINUTE", "BULK_RATE_LIMIT"])
def test_a_value_that_is_no_limit_names_its_variable(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"^{name}: must be "):
        read_settings()


@pytest.mark.parametrize(
    "value", ["10000 per minute", "5/second", "5/second; 100 per 2 hours", "0 per day", "7/day|9/year"]
)
def test_the_library_s_notation_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("CHAT_RATE_LIMIT", value)
    assert read_settings().rate_limits["chat"] == value


@pytest.mark.parametrize("value", ["10.0.0.1/8", "proxy", "10.0.0.0/33", "1.2.3.4,*,x"])
def test_a_proxy_that_is_no_network_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TRUSTED_PROXIES", value)
    with pytest.raises(SettingsError, match=r"^TRUSTED_PROXIES: must be networks"):
        read_settings()


@pytest.mark.parametrize("everybody", ["*", "0.0.0.0/0", "::/0", "0.0.0.0/1,128.0.0.0/1", "::/1,8000::/2,c000::/2"])
def test_production_trusts_nobody_in_particular_never(monkeypatch: pytest.MonkeyPatch, everybody: str) -> None:
    production = {"environment": "production", "trusted_proxies": ("10.0.0.0/8", *everybody.split(","))}
    secrets = {"secret_key": "s" * 40, "admin_api_key": "k" * 40}
    with pytest.raises(ValueError, match="TRUSTED_PROXIES must name networks"):
        Settings(**production, **secrets, database_url="postgresql://x@h/d", redis_url="redis://h")  # type: ignore[arg-type]
    named = Settings(
        environment="production",
        trusted_proxies=("10.0.0.0/8", "128.0.0.0/1", "fd00::/8"),
        secret_key=SecretStr("s" * 40),
        admin_api_key=SecretStr("k" * 40),
        database_url="postgresql://x@h/d",
        redis_url="redis://h",
    )
    assert len(named.trusted_proxies) == 3
    monkeypatch.setenv("TRUSTED_PROXIES", everybody)
    assert read_settings().trusted_proxies == tuple(everybody.split(","))
