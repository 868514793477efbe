"""Chain: an agent's middleware in order, with the hooks that do nothing left out beforehand."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
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
Awaited = Callable[[T], Awaitable[None]]
Hooks = tuple[Before[T] | None, After[T] | None, Awaited[T] | None]
"""Before, after, and what a coroutine awaits in place of the first."""

MIDDLEWARE_FAILED: Final = happenings.declare(
    "middleware_failed",
    logging.ERROR,
    "a middleware's settled hook raised, or an after hook whose error nobody sees; the message is settled all the same",
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
        self._action = _hooks(middleware, "before_action", "after_action", "before_action_async")
        self._handle = _hooks(middleware, "before_handle", "after_handle")
        self._handed_over = [each.handed_over for each in middleware if _overrides(each, "handed_over")]
        self._on_failure = [each.on_failure for each in middleware if _overrides(each, "on_failure")]
        self._settled = [each.settled for each in middleware if _overrides(each, "settled")]

    def acting(self, act: Act) -> Within[Act]:
        """Around one action: ``with chain.acting(act):``, or ``async with`` in a coroutine."""
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

    __slots__ = ("_entered", "_hooks", "_subject")

    def __init__(self, hooks: Sequence[Hooks[T]], subject: T) -> None:
        self._hooks, self._subject, self._entered = hooks, subject, 0

    def __enter__(self) -> T:
        try:
            for before, _, _ in self._hooks:
                if before is not None:
                    before(self._subject)
                self._entered += 1
        except BaseException as error:
            self._abandon(error)
            raise
        return self._subject

    async def __aenter__(self) -> T:
        try:
            for before, _, awaited in self._hooks:
                if awaited is not None:
                    await awaited(self._subject)
                elif before is not None:
                    before(self._subject)
                self._entered += 1
        except BaseException as error:
            self._abandon(error)
            raise
        return self._subject

    def _abandon(self, error: BaseException) -> None:
        """Leave what was entered before one hook did not come through."""
        if isinstance(error, SkipHandler):
            self._unseen(self._leave(None))
            return
        last = self._leave(error)
        if last is not None and last is not error:
            raise last from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        last = self._leave(error)
        if last is not None and last is not error:
            raise last

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, stack: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, stack)

    def _leave(self, error: BaseException | None) -> BaseException | None:
        """Every ``after`` due, last to first; the error that stands in the end."""
        given = error
        for _, after, _ in reversed(self._hooks[: self._entered]):
            if after is None:
                continue
            try:
                after(self._subject, error)
            except BaseException as raised:
                if error is not given and error is not raised:
                    self._unseen(error)
                error = raised
        return error

    def _unseen(self, error: BaseException | None) -> None:
        """Count what an ``after`` raised and no caller gets to see."""
        if error is not None:
            happenings.emit(MIDDLEWARE_FAILED, agent=getattr(self._subject, "agent", ""), error=repr(error))


def _hooks(middleware: Sequence[Middleware], *names: str) -> list[Any]:
    found = [tuple(_hook(each, name) for name in names) for each in middleware]
    return [(*hooks, None)[:3] for hooks in found if any(hooks)]


def _hook(middleware: Middleware, name: str) -> Any:
    """The hook, or None when it is the one that does nothing."""
    return getattr(middleware, name) if _overrides(middleware, name) else None


def _overrides(middleware: Middleware, name: str) -> bool:
    return getattr(type(middleware), name) is not getattr(Middleware, name)
