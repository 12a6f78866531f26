"""Counting requests in sliding windows: in Redis for all processes, in memory while Redis is away."""

import asyncio
import math
import time
from collections import OrderedDict, deque
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from typing import Any, Final, cast

import structlog
from limits.aio.storage import RedisStorage
from prometheus_client import Counter, Gauge
from redis.asyncio import BlockingConnectionPool, Redis
from redis.exceptions import NoScriptError, RedisError

KEY_PREFIX: Final = "novahouse-limits-v1"
"""Before every key. Its version rises when what is stored changes: a script on another's keys would fail."""
CHECK_SECONDS: Final = 0.1
"""How long a request may wait for Redis, unless RATE_LIMIT_SECONDS says otherwise."""
AWAY_SECONDS: Final = 5.0
"""Between two trials whether Redis is back. The first one is made at once."""
TRIAL_SECONDS: Final = 1.0
"""How long a trial may take: nobody waits for it, and a machine that is busy is no Redis that is away."""
MAX_ENTRIES: Final = 50_000
"""Windows that memory holds; the one not used for longest goes first."""
MAX_REFUSED: Final = 10_000
REFUSED_SECONDS: Final = 1.0
"""For how long a refusal is repeated without asking Redis again."""
_CONNECTIONS: Final = 2
_MILLISECONDS: Final = 1000

FALLBACK = Gauge("rate_limit_fallback", "1 while this process counts in memory because Redis is away.")
FALLBACKS = Counter("rate_limit_fallbacks", "How often Redis went away from the rate limiter.")
LATE = Counter("rate_limit_late", "Checks that memory decided because Redis had not answered in time.")

_log = structlog.stdlib.get_logger(__name__)

# As limits' own sliding window counter, on the same keys, for several requests of several windows each in one round
# trip. A request takes from all of its windows or from none.
# KEYS: previous and current window of each check. ARGV: for each request the number of its checks, then limit and
# length in ms of each. Answer: for each request 1 or 0, then for each check the state before it: count of the previous
# window, ms until it has faded, count of the current window, ms until it ends.
_ACQUIRE: Final = """
local answer, key, argument = {}, 1, 1
while argument <= #ARGV do
  local checks, windows, admitted = tonumber(ARGV[argument]), {}, 1
  argument = argument + 1
  for n = 1, checks do
    local previous, current = KEYS[key], KEYS[key + 1]
    local limit, length = tonumber(ARGV[argument]), tonumber(ARGV[argument + 1])
    key, argument = key + 2, argument + 2
    local left = redis.call('pttl', current)
    if left > 0 and left < length then
      redis.call('rename', current, previous)
      left = left + length
      redis.call('set', current, 0, 'PX', left)
    end
    local before = tonumber(redis.call('get', previous)) or 0
    local fades = 0
    if before > 0 then fades = math.max(redis.call('pttl', previous), 0) end
    local used = 0
    if left > 0 then used = tonumber(redis.call('get', current)) or 0 else left = 0 end
    if math.floor(before * fades / length) + used + 1 > limit then admitted = 0 end
    windows[n] = {current, length, left, before, fades, used}
  end
  answer[#answer + 1] = admitted
  for n = 1, checks do
    local current, length, left, before, fades, used = unpack(windows[n])
    if admitted == 1 then
      if left > 0 then redis.call('incr', current) else redis.call('set', current, 1, 'PX', 2 * length) end
    end
    if left == 0 then left = 2 * length end
    answer[#answer + 1] = before
    answer[#answer + 1] = fades
    answer[#answer + 1] = used
    answer[#answer + 1] = left - length
  end
end
return answer
"""
_NUMBERS: Final = 4
"""In the answer to one check."""


class RedisAwayError(Exception):
    """Redis did not answer in time, or refused."""


@dataclass(frozen=True, slots=True)
class Check:
    """One window that a request must fit into."""

    policy: str
    """As in the `RateLimit` header."""
    limit: int
    length: int
    """In seconds."""
    key: str
    """Whose window of which route: the library's name for it."""


@dataclass(frozen=True, slots=True)
class Window:
    """How one window stood before the request."""

    before: int
    fades: float
    """Seconds until the previous window's count has faded."""
    used: int
    left: float
    """Seconds until the current window ends."""

    def weight(self, length: int) -> int:
        """How many requests count, the previous window's by the part of it that still overlaps."""
        return math.floor(self.before * self.fades / length) + self.used

    def wait(self, check: Check) -> int:
        """Whole seconds, at least 1, after which one request fits again if nobody else sends one."""
        if check.limit <= 0:
            return check.length
        room = check.limit - self.used
        if room > 0:
            seconds = self.fades - room * check.length / max(self.before, 1)
        else:
            seconds = self.left + max(0.0, check.length - check.limit * check.length / max(self.used, 1))
        return max(1, math.ceil(seconds + 0.001))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request."""

    admitted: bool
    checks: Sequence[Check]
    windows: Sequence[Window]

    @property
    def broken(self) -> Check | None:
        """The check that the request does not fit into and that keeps it waiting longest; None when it is admitted."""
        if self.admitted:
            return None
        waits = [
            (window.wait(check), check)
            for check, window in zip(self.checks, self.windows, strict=True)
            if window.weight(check.length) + 1 > check.limit
        ]
        return max(waits, key=lambda pair: pair[0])[1] if waits else self.checks[0]

    def header(self) -> str:
        """The value of `RateLimit`: what is left of each policy, and in how many seconds there is more."""
        parts = []
        for check, window in zip(self.checks, self.windows, strict=True):
            left = check.limit - window.weight(check.length) - self.admitted
            reset = math.ceil(window.left) or 1 if left > 0 else window.wait(check)
            parts.append(f'"{check.policy}";r={max(left, 0)};t={reset}')
        return ", ".join(parts)

    def retry_after(self) -> int:
        """Whole seconds after which the request fits if nobody else sends one; 0 when it was admitted."""
        if self.admitted:
            return 0
        return max(
            (
                window.wait(check)
                for check, window in zip(self.checks, self.windows, strict=True)
                if window.weight(check.length) + 1 > check.limit
            ),
            default=1,
        )


def _task_of_nobody(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """A task that serves many requests: what it logs is not the one's that happened to begin it."""
    return asyncio.get_running_loop().create_task(work, context=Context())


_Asked = tuple[float, Sequence[Check], asyncio.Future[Verdict]]
"""A request that waits: since when on the loop's clock, for what, and where it waits."""


class SharedWindows:
    """Windows in Redis that all processes count in.

    Requests that come while a round trip is under way share the next one.
    """

    def __init__(self, redis_url: str, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._check_seconds = check_seconds
        scheme, _, rest = redis_url.partition("://")
        self._pool = BlockingConnectionPool.from_url(
            redis_url,
            max_connections=_CONNECTIONS,
            timeout=check_seconds,
            socket_timeout=check_seconds,
            socket_connect_timeout=check_seconds,
        )
        self.storage = RedisStorage(
            f"async+redis+unix://{rest}" if scheme == "unix" else f"async+{redis_url}",
            implementation="redispy",
            key_prefix=KEY_PREFIX,
            connection_pool=cast("Any", self._pool),
        )
        self._redis = cast("Any", self.storage.bridge).get_connection()
        self._trial = Redis.from_url(redis_url, socket_timeout=TRIAL_SECONDS, socket_connect_timeout=TRIAL_SECONDS)
        self._script = self._redis.register_script(_ACQUIRE)
        self._waiting: deque[_Asked] = deque()
        self._sending: asyncio.Task[None] | None = None

    async def acquire(self, checks: Sequence[Check]) -> Verdict:
        """Count a request in all of these windows, or in none when one is full.

        Raises RedisAwayError within `check_seconds`.
        """
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[Verdict] = loop.create_future()
        self._waiting.append((loop.time(), checks, answered))
        if self._sending is None:
            self._sending = _task_of_nobody(self._send_all())
        return await answered

    async def ping(self) -> None:
        """Raises RedisAwayError when Redis does not count."""
        try:
            async with asyncio.timeout(TRIAL_SECONDS):
                await self._trial.script_load(_ACQUIRE)
        except (RedisError, OSError, TimeoutError) as error:
            await self._trial.aclose()
            raise RedisAwayError(type(error).__name__) from error

    async def aclose(self) -> None:
        """Give connections back."""
        if self._sending is not None:
            self._sending.cancel()
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._check_seconds):
                await self._pool.disconnect()
                await self._trial.aclose()

    async def _send_all(self) -> None:
        batch: list[_Asked] = []
        failure = "closed"
        try:
            while self._waiting:
                batch = [each for each in self._waiting if not each[2].done()]
                self._waiting.clear()
                if batch:
                    await self._send(batch)
        except (RedisError, OSError, TimeoutError, ValueError) as error:
            failure = type(error).__name__
            self._give_up(batch, failure)
            await self._drop_connections()
        finally:
            self._sending = None
            self._give_up((*batch, *self._waiting), failure)
            self._waiting.clear()

    async def _send(self, batch: Sequence[_Asked]) -> None:
        keys: list[str] = []
        arguments: list[int] = []
        for _, checks, _ in batch:
            arguments.append(len(checks))
            for check in checks:
                current = f"{KEY_PREFIX}:{{{check.key}}}"
                keys += (f"{current}/-1", current)
                arguments += (check.limit, check.length * _MILLISECONDS)
        async with asyncio.timeout_at(batch[0][0] + self._check_seconds):
            numbers: Any = await self._evaluate(keys, arguments)
        if not isinstance(numbers, list) or len(numbers) != sum(1 + _NUMBERS * len(each[1]) for each in batch):
            raise ValueError("no answer of the script's")
        at = 0
        for _, checks, answered in batch:
            admitted, at = bool(numbers[at]), at + 1
            windows = []
            for _ in checks:
                before, fades, used, left = numbers[at : at + _NUMBERS]
                windows.append(Window(before, fades / _MILLISECONDS, used, left / _MILLISECONDS))
                at += _NUMBERS
            if not answered.done():
                answered.set_result(Verdict(admitted, checks, windows))

    async def _evaluate(self, keys: Sequence[str], arguments: Sequence[int]) -> list[int]:
        try:
            found: list[int] = await self._redis.evalsha(self._script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            found = await self._redis.eval(_ACQUIRE, len(keys), *keys, *arguments)
        return found

    @staticmethod
    def _give_up(batch: Sequence[_Asked], failure: str) -> None:
        for _, _, answered in batch:
            if not answered.done():
                answered.set_exception(RedisAwayError(failure))

    async def _drop_connections(self) -> None:
        """An answer that comes after all must not be read as that to the next question."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._check_seconds):
                await self._pool.disconnect(inuse_connections=True)


class MemoryWindows:
    """Windows of this process alone, at most `capacity` of them."""

    def __init__(self, capacity: int = MAX_ENTRIES) -> None:
        self._capacity = capacity
        self._windows: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def acquire(self, checks: Sequence[Check]) -> Verdict:
        """Count a request in all of these windows, or in none when one is full."""
        now = time.time()
        windows = [self._window(check, now) for check in checks]
        admitted = all(
            window.weight(check.length) + 1 <= check.limit for check, window in zip(checks, windows, strict=True)
        )
        if admitted:
            for check, window in zip(checks, windows, strict=True):
                self._windows[check.key] = (int(now // check.length), window.used + 1, window.before)
                self._windows.move_to_end(check.key)
            while len(self._windows) > self._capacity:
                self._windows.popitem(last=False)
        return Verdict(admitted, checks, windows)

    def _window(self, check: Check, now: float) -> Window:
        number, into = int(now // check.length), now % check.length
        known, used, before = self._windows.get(check.key, (number, 0, 0))
        if known == number - 1:
            used, before = 0, used
        elif known != number:
            used, before = 0, 0
        left = check.length - into
        return Window(before, left if before else 0.0, used, left)


class Windows:
    """Counts in Redis, and in memory from the moment that Redis fails until a trial in the background succeeds."""

    def __init__(self, shared: SharedWindows, memory: MemoryWindows) -> None:
        self._shared = shared
        self._memory = memory
        self._refused: OrderedDict[str, tuple[float, Verdict]] = OrderedDict()
        self._returning: asyncio.Task[None] | None = None

    @property
    def away(self) -> bool:
        """Whether Redis is away and memory counts."""
        return self._returning is not None

    def refused_lately(self, checks: Sequence[Check]) -> Verdict | None:
        """The refusal that one of these windows gave less than REFUSED_SECONDS ago. Costs nothing worth naming."""
        for check in checks:
            found = self._refused.get(check.key)
            if found is not None:
                if found[0] > time.monotonic():
                    return found[1]
                del self._refused[check.key]
        return None

    async def acquire(self, checks: Sequence[Check]) -> Verdict:
        """Count a request in all of these windows, or in none when one is full. Takes no longer than SharedWindows."""
        if self._returning is not None:
            verdict = self._memory.acquire(checks)
        else:
            try:
                verdict = await self._shared.acquire(checks)
            except RedisAwayError as error:
                self._fall_back(error)
                verdict = self._memory.acquire(checks)
        broken = verdict.broken
        if broken is not None:
            self._refused[broken.key] = (time.monotonic() + REFUSED_SECONDS, verdict)
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)
        return verdict

    async def aclose(self) -> None:
        """Stop trying and give connections back."""
        if self._returning is not None:
            self._returning.cancel()
        await self._shared.aclose()

    def _fall_back(self, error: RedisAwayError) -> None:
        LATE.inc()
        if self._returning is None:
            FALLBACK.set(1)
            self._returning = _task_of_nobody(self._return(str(error)))

    async def _return(self, failure: str) -> None:
        trials = 0
        while True:
            try:
                await self._shared.ping()
            except RedisAwayError:
                trials += 1
                if trials == 1:
                    FALLBACKS.inc()
                    _log.warning("rate_limit_in_memory", error=failure)
                await asyncio.sleep(AWAY_SECONDS)
            else:
                break
        FALLBACK.set(0)
        self._returning = None
        if trials:
            _log.info("rate_limit_in_redis")
