"""Which limits a request must keep: slowapi's declarations on the routes, and the table that is made of them."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, TypeVar, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from fastapi.security import HTTPBearer
from fastapi.security.utils import get_authorization_scheme_param
from slowapi import Limiter
from slowapi.wrappers import Limit, LimitGroup
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import Scope

from app.web.client import SCOPE_KEY, Client
from app.web.windows import Check

EXEMPT: Final = {
    "/health/live": "a supervisor that is refused an answer restarts a healthy process",
    "/health/ready": "a load balancer that is refused an answer takes a healthy process out",
    "/metrics": "who limits Prometheus is blind when it matters; its own lane bounds it (app/web/admission.py)",
}
"""Every route that no limit holds for, and why."""

OPERATOR_SCHEME: Final = "apiKey"
UNMATCHED: Final = "unmatched"
"""The name under which requests count that reach no route: unknown paths and wrong methods."""

SITE_FACTOR: Final = 16
"""How many clients' worth an IPv6 /48 may send: it is one customer's, who may have any number of /64."""
SITE: Final = "-site"

_values: ContextVar[Mapping[str, str]] = ContextVar("rate_limits")
_PARAMETER: Final = re.compile(r"\{[^}]+\}")
_DIGEST_CHARACTERS: Final = 32

Provider = Callable[[], str]
Route = TypeVar("Route", bound=Callable[..., Any])


def chat() -> str:
    """CHAT_RATE_LIMIT, for the routes of a visitor's chat."""
    return _values.get()["chat"]


def api_hour() -> str:
    """API_RATE_LIMIT_HOUR, for every route that declares nothing else."""
    return _values.get()["api-hour"]


def api_minute() -> str:
    """API_RATE_LIMIT_MINUTE, beside `api_hour`."""
    return _values.get()["api-minute"]


def bulk() -> str:
    """BULK_RATE_LIMIT, for callers that rightly send many: API keys that work, mail providers' one-click requests."""
    return _values.get()["bulk"]


def client(request: Request) -> str:
    """Who calls, as a keyed hash: the address, or the /64 of an IPv6 one."""
    caller: Client = request.scope[SCOPE_KEY]
    return caller.hashed


def site(request: Request) -> str:
    """The /48 of an IPv6 address, as a keyed hash; empty for IPv4."""
    caller: Client = request.scope[SCOPE_KEY]
    return caller.site


def credential(request: Request) -> str:
    """The bearer that was sent, hashed; empty without one, and then its limits do not apply.

    Read as routes read it (`fastapi.security.HTTPBearer`): however it is spelled, what opens one thing counts as one.
    """
    scheme, sent = get_authorization_scheme_param(request.headers.get("authorization"))
    if scheme.lower() != "bearer" or not sent:
        return ""
    return sha256(sent.encode("latin-1")).hexdigest()[:_DIGEST_CHARACTERS]


class Declarations(Limiter):
    """slowapi's `@limiter.limit(...)` as the way to say what a route's limits are, and nothing else of it.

    Its own checks stay off: they run after a body was validated, wait for Redis without letting others run, and leave
    included routers out. `app.web.admission` checks before anything of a body is read.
    """

    def __init__(self, key_func: Callable[[Request], str], default_limits: Sequence[Provider]) -> None:
        super().__init__(
            key_func,
            auto_check=False,
            headers_enabled=False,
            key_style="endpoint",
            storage_uri="memory://",
        )
        self._default_limits = [_group(provider, key_func) for provider in default_limits]
        self._settings: dict[str, str] = {}

    def get_app_config(self, key: str, default_value: Any = None) -> Any:
        """Settings come from app/core/settings.py: what slowapi would find in the environment is left alone."""
        return default_value

    def limit(  # type: ignore[override]
        self, provider: Provider, key_func: Callable[[Request], str] | None = None, *, policy: str | None = None
    ) -> Callable[[Route], Route]:
        """Declare a limit of the route below, which stays as it is. `policy` is its name in headers."""
        name = policy or _policy(provider)
        self._settings[name] = _policy(provider)
        declare = super().limit(provider, key_func, error_message=name)

        def decorate(route: Route) -> Route:
            declare(route)
            return route

        return decorate

    def setting_of(self, policy: str) -> str:
        """The limit that operators know, for a policy's name in headers."""
        name = policy.partition("/")[0].removesuffix(SITE)
        return self._settings.get(name, name)

    def limits_of(self, endpoint: Callable[..., Any] | None) -> list[Limit]:
        """What holds for a route's function with the current values; the defaults when it declares nothing."""
        name = f"{endpoint.__module__}.{endpoint.__name__}" if endpoint else ""
        groups: Iterable[LimitGroup] = self._dynamic_route_limits.get(name) or self._default_limits
        return [limit for group in groups for limit in group]

    def limits_of_keys(self) -> list[Limit]:
        """What holds for an API key that works, in place of its client's limits."""
        return list(_group(bulk, credential))


def _policy(provider: Provider) -> str:
    return provider.__name__.replace("_", "-")


def _group(provider: Provider, key_func: Callable[[Request], str]) -> LimitGroup:
    return LimitGroup(
        provider,
        key_func,
        scope=None,
        per_method=False,
        methods=None,
        error_message=_policy(provider),
        exempt_when=None,
        cost=1,
        override_defaults=True,
    )


limiter: Final = Declarations(client, [api_hour, api_minute])


@contextmanager
def using(values: Mapping[str, str]) -> Iterator[None]:
    """Read declarations with these values of the policies."""
    token = _values.set(values)
    try:
        yield
    finally:
        _values.reset(token)


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of a route, ready to become a Check."""

    declared: Limit
    policy: str
    limit: int
    length: int
    key_of: Callable[[Request], str]
    tail: str
    """What follows the caller in the library's key."""

    def check(self, request: Request) -> Check | None:
        """The check for whoever sends this request; None when it lacks what the limit counts by."""
        who = self.key_of(request)
        return Check(self.policy, self.limit, self.length, f"LIMITER/{who}{self.tail}") if who else None


@dataclass(frozen=True, slots=True)
class Rule:
    """What holds for the requests of one route."""

    name: str
    windows: tuple[Window, ...]
    keyed: tuple[Window, ...] = ()
    """In place of `windows` for an API key that works; empty where none is asked for."""
    exempt: bool = False
    header: str = field(init=False)
    """The value of `RateLimit-Policy`."""
    site_header: str = field(init=False)
    """The same for who has a site, whose limits hold too."""
    keyed_header: str = field(init=False)

    def __post_init__(self) -> None:
        own = [window for window in self.windows if window.key_of is not site]
        object.__setattr__(self, "header", _policy_header(own))
        object.__setattr__(self, "site_header", _policy_header(self.windows))
        object.__setattr__(self, "keyed_header", _policy_header(self.keyed))


def _policy_header(windows: Iterable[Window]) -> str:
    return ", ".join(f'"{window.policy}";q={window.limit};w={window.length}' for window in windows)


class Table:
    """The rule of every route, for the values of one moment."""

    def __init__(self, routes: Sequence[BaseRoute], values: Mapping[str, str]) -> None:
        self._fixed: dict[str, dict[str, Rule]] = {}
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Rule]]] = {}
        with using(values):
            self.unmatched = Rule(UNMATCHED, _windows(UNMATCHED, limiter.limits_of(None)))
            for route in iter_route_contexts(routes):
                self._add(route)

    def rule(self, scope: Scope) -> Rule:
        """The rule for a request. What reaches no route has a rule too."""
        for methods in self._matching(scope):
            return methods.get(scope["method"], self.unmatched)
        return self.unmatched

    def methods(self, scope: Scope) -> list[str]:
        """Every method that a request's path may be asked for. A path in full counts before those with parameters."""
        return sorted({method for methods in self._matching(scope) for method in methods})

    def _matching(self, scope: Scope) -> Iterator[dict[str, Rule]]:
        path: str = scope["path"]
        root: str = scope.get("root_path", "")
        if root and path.startswith(root):
            path = path[len(root) :]
        if path in self._fixed:
            yield self._fixed[path]
        else:
            yield from (methods for pattern, methods in self._patterns.values() if pattern.fullmatch(path))

    def rules(self) -> list[tuple[str, str, Rule]]:
        """Method, path and rule of every route."""
        return [
            (method, path, rule)
            for path, methods in (
                *self._fixed.items(),
                *((path, methods) for path, (_, methods) in self._patterns.items()),
            )
            for method, rule in methods.items()
        ]

    def _add(self, route: Any) -> None:
        path: str = route.path
        name = f"{route.endpoint.__module__}.{route.endpoint.__name__}"
        keyed = _windows(name, limiter.limits_of_keys()) if _asks_for_key(route) else ()
        rule = Rule(name, _windows(name, limiter.limits_of(route.endpoint)), keyed, exempt=path in EXEMPT)
        if "{" in path:
            pattern = "".join(
                re.escape(part) if n % 2 == 0 else "[^/]+"
                for n, part in enumerate(re.split(f"({_PARAMETER.pattern})", path))
            )
            methods = self._patterns.setdefault(path, (re.compile(pattern), {}))[1]
        else:
            methods = self._fixed.setdefault(path, {})
        for method in route.methods or ():
            methods.setdefault(method, rule)


def _windows(scope: str, limits: Iterable[Limit]) -> tuple[Window, ...]:
    """Windows of these limits, the longest first, each under a name of its own."""
    windows: list[Window] = []
    for limit in sorted(limits, key=lambda limit: -limit.limit.get_expiry()):
        item, key_of = limit.limit, cast("Callable[[Request], str]", limit.key_func)
        name = str(limit.error_message)
        taken = sum(window.policy.partition("/")[0] == name for window in windows)
        window = Window(
            declared=limit,
            policy=f"{name}/{taken + 1}" if taken else name,
            limit=item.amount,
            length=item.get_expiry(),
            key_of=key_of,
            tail=item.key_for("", f"{limit.scope or scope}").removeprefix("LIMITER/"),
        )
        windows.append(window)
        if key_of is client:
            policy, tail = window.policy.replace(name, name + SITE, 1), f"{window.tail}/{SITE}"
            windows.append(replace(window, policy=policy, limit=window.limit * SITE_FACTOR, key_of=site, tail=tail))
    return tuple(windows)


def _asks_for_key(route: Any) -> bool:
    """Whether a route is for operators: one of its dependencies reads an API key."""

    def calls(dependant: Dependant) -> Iterable[Any]:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls(inner)

    dependant: Dependant | None = getattr(route, "dependant", None)
    return dependant is not None and any(
        isinstance(call, HTTPBearer) and call.scheme_name == OPERATOR_SCHEME for call in calls(dependant)
    )
