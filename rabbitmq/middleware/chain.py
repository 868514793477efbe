"""Chain: an agent's middleware in order, with the hooks that do nothing left out beforehand."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from fusebox import happenings
from fusebox.errors import ConfigError
from rabbitmq.act import Act
from rabbitmq.middleware.base import Middleware
from rabbitmq.run import Bury, Outcome, Run, SkipHandler

T = TypeVar("T")
Before = Callable[[T], None]
After = Callable[[T, BaseException | None], None]

MIDDLEWARE_FAILED: Final = happenings.declare(
    "middleware_failed", logging.ERROR, "a middleware's settled hook raised; the message is settled all the same"
)


class Chain:
    """What surrounds the actions and the messages of one agent.

    Args:
        middleware: first to last; the first is the outermost.
        required: kinds that must be among them.

    Raises:
        ConfigError: one of ``required`` is missing.
    """

    def __init__(self, middleware: Sequence[Middleware], required: Sequence[type[Middleware]] = ()) -> None:
        for kind in required:
            if not any(isinstance(each, kind) for each in middleware):
                raise ConfigError(
                    f"the middleware leaves out {kind.__name__}, without which nothing could stop the agent; "
                    "begin with default_middleware() and add to it"
                )
        self._action = _pairs(middleware, "before_action", "after_action")
        self._handle = _pairs(middleware, "before_handle", "after_handle")
        self._handed_over = [each.handed_over for each in middleware if _overrides(each, "handed_over")]
        self._on_failure = [each.on_failure for each in middleware if _overrides(each, "on_failure")]
        self._settled = [each.settled for each in middleware if _overrides(each, "settled")]

    def acting(self, act: Act) -> Within[Act]:
        """Around one action: ``with chain.acting(act):``."""
        return Within(self._action, act)

    def handed_over(self, act: Act) -> None:
        """While the broker is at work on a publish."""
        for handed_over in self._handed_over:
            handed_over(act)

    def handling(self, run: Run) -> Within[Run]:
        """Around one handler run."""
        return Within(self._handle, run)

    def verdict(self, run: Run, error: BaseException) -> Outcome:
        """What becomes of a message whose handler raised."""
        for on_failure in self._on_failure:
            outcome = on_failure(run, error)
            if outcome is not None:
                return outcome
        return Bury(error)

    def settled(self, run: Run, outcome: Outcome) -> None:
        """Tell everybody who wants to know."""
        for settled in self._settled:
            try:
                settled(run, outcome)
            except Exception as error:
                happenings.emit(MIDDLEWARE_FAILED, agent=run.agent, error=repr(error))


class Within(Generic[T]):
    """The hooks around one action or message, as a context manager."""

    __slots__ = ("_entered", "_pairs", "_subject")

    def __init__(self, pairs: Sequence[tuple[Before[T] | None, After[T] | None]], subject: T) -> None:
        self._pairs, self._subject, self._entered = pairs, subject, 0

    def __enter__(self) -> T:
        try:
            for before, _ in self._pairs:
                if before is not None:
                    before(self._subject)
                self._entered += 1
        except SkipHandler:
            self._leave(None)
            raise
        except BaseException as error:
            last = self._leave(error)
            if last is error or last is None:
                raise
            raise last from error
        return self._subject

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        last = self._leave(error)
        if last is not None and last is not error:
            raise last

    def _leave(self, error: BaseException | None) -> BaseException | None:
        """Every ``after`` due, last to first; the error that stands in the end."""
        for _, after in reversed(self._pairs[: self._entered]):
            if after is None:
                continue
            try:
                after(self._subject, error)
            except BaseException as raised:
                error = raised
        return error


def _pairs(middleware: Sequence[Middleware], before: str, after: str) -> list[tuple[Any, Any]]:
    both = [(_hook(each, before), _hook(each, after)) for each in middleware]
    return [pair for pair in both if pair != (None, None)]


def _hook(middleware: Middleware, name: str) -> Any:
    """The hook, or None when it is the one that does nothing."""
    return getattr(middleware, name) if _overrides(middleware, name) else None


def _overrides(middleware: Middleware, name: str) -> bool:
    return getattr(type(middleware), name) is not getattr(Middleware, name)
