"""Limits as they hold in one process at this moment: the table of rules, who counts, and what operators changed."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final

import structlog
from limits import parse_many
from prometheus_client import Counter
from slowapi.errors import RateLimitExceeded
from slowapi.wrappers import Limit
from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import Scope

from app.core.db import DATABASE_ERRORS
from app.web.ratelimit import Rule, Table, credential, limiter, site
from app.web.windows import CHECK_SECONDS, Check, MemoryWindows, SharedWindows, Verdict, Windows

REFRESH_SECONDS: Final = 2.0
"""How old a change of the limits may be before every process knows it."""
KEY_SECONDS: Final = 60.0
"""For how long a key that was accepted is taken for one that works."""
MAX_KEYS: Final = 1000

LIMITED = Counter("rate_limited_requests", "Requests that were answered with 429.", ("policy",))

Refresh = Callable[[Mapping[str, int]], Awaitable[Mapping[str, str]]]
"""Takes how many requests were limited since the last time, by setting; gives the values that operators set."""

_log = structlog.stdlib.get_logger(__name__)


class LimitedError(RateLimitExceeded):
    """The request does not fit into the limits of its route."""

    def __init__(self, limit: Limit, verdict: Verdict, policies: str) -> None:
        super().__init__(limit)
        self.verdict = verdict
        self.policies = policies
        """The value of `RateLimit-Policy`."""


class Enforcement:
    """The limits of one process."""

    def __init__(
        self,
        routes: Sequence[BaseRoute],
        values: Mapping[str, str],
        *,
        redis_url: str,
        refresh: Refresh,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._routes = routes
        self._defaults = dict(values)
        self._changed: Mapping[str, str] = {}
        self._table = Table(routes, values)
        self._windows = Windows(SharedWindows(redis_url, check_seconds=check_seconds), MemoryWindows())
        self._working_keys: OrderedDict[str, float] = OrderedDict()
        self._refresh = refresh
        self._limited: dict[str, int] = {}

    @property
    def values(self) -> Mapping[str, str]:
        """The values that hold now, by policy."""
        return {**self._defaults, **self._changed}

    def rule(self, scope: Scope) -> Rule:
        """The rule for a request."""
        return self._table.rule(scope)

    def methods(self, scope: Scope) -> list[str]:
        """Every method that a request's path may be asked for."""
        return self._table.methods(scope)

    async def enforce(self, rule: Rule, request: Request) -> tuple[str, str]:
        """Count a request; gives the values of `RateLimit` and `RateLimit-Policy`.

        Raises LimitedError when it does not fit. Answers within `check_seconds`, whatever Redis does.
        """
        keyed = bool(rule.keyed) and self._works(credential(request))
        windows, policies = rule.windows, rule.site_header if site(request) else rule.header
        if keyed:
            windows, policies = rule.keyed, rule.keyed_header
        checks = [check for window in windows if (check := window.check(request)) is not None]
        verdict = self._windows.refused_lately(checks) or await self._windows.acquire(checks)
        broken = verdict.broken
        if broken is not None:
            self._note(broken)
            declared = next(window.declared for window in windows if window.policy == broken.policy)
            raise LimitedError(declared, verdict, policies)
        return verdict.header(), policies

    async def take(self, policy: str) -> bool:
        """Count one use of what all processes share, such as paid calls; False when the policy's value is reached.

        Answers within `check_seconds`, whatever Redis does.
        """
        items = parse_many(self.values[policy])
        checks = [Check(policy, item.amount, item.get_expiry(), item.key_for(policy)) for item in items]
        verdict = self._windows.refused_lately(checks) or await self._windows.acquire(checks)
        if not verdict.admitted:
            self._limited[policy] = self._limited.get(policy, 0) + 1
        return verdict.admitted

    def key_worked(self, request: Request) -> None:
        """Note that a route for operators did what the bearer of this request asked."""
        digest = credential(request)
        self._working_keys[digest] = time.monotonic() + KEY_SECONDS
        self._working_keys.move_to_end(digest)
        if len(self._working_keys) > MAX_KEYS:
            self._working_keys.popitem(last=False)

    def key_failed(self, request: Request) -> None:
        """Note that it was refused."""
        self._working_keys.pop(credential(request), None)

    async def keep_fresh(self) -> None:
        """Take over what operators change, and tell how many requests were limited, until cancelled."""
        while True:
            limited, self._limited = self._limited, {}
            try:
                changed = await self._refresh(limited)
            except DATABASE_ERRORS as error:
                for policy, count in limited.items():
                    self._limited[policy] = self._limited.get(policy, 0) + count
                _log.warning("rate_limits_not_refreshed", error=type(error).__name__)
            else:
                self._take_over(changed)
            await asyncio.sleep(REFRESH_SECONDS)

    async def aclose(self) -> None:
        """Give connections back."""
        await self._windows.aclose()

    def _works(self, digest: str) -> bool:
        until = self._working_keys.get(digest)
        if until is None:
            return False
        if until > time.monotonic():
            return True
        with suppress(KeyError):
            del self._working_keys[digest]
        return False

    def _note(self, broken: Check) -> None:
        LIMITED.labels(broken.policy).inc()
        setting = limiter.setting_of(broken.policy)
        self._limited[setting] = self._limited.get(setting, 0) + 1

    def _take_over(self, changed: Mapping[str, str]) -> None:
        readable = {}
        for name, value in changed.items():
            try:
                parse_many(value)
            except ValueError:
                _log.error("rate_limit_unreadable", policy=name)
                continue
            if name in self._defaults:
                readable[name] = value
        if readable != self._changed:
            self._changed = readable
            self._table = Table(self._routes, self.values)
            _log.info("rate_limits_changed", policies=sorted(readable))
