"""Tells people when the policy that agents are told to obey is no good, or its server does not answer.

*watch* loads what the setting names, as every agent process does, and looks at it on a thread of its own: compiling
takes a moment, and a server may take its time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.registry import Registry
from governance.policy.policy import Policy, problem_of
from governance.policy.source import open_policy

_LOOK_EVERY_S: Final = 1.0
_ASK_EVERY_S: Final = 10.0
"""Of a server, which keeps a record of each question."""


class PolicyLook:
    """A :class:`fusebox.lifecycle.Service`; does nothing where no policy is configured.

    Args:
        tell: is given what is wrong and since when (Unix seconds), again and again while it lasts.
    """

    def __init__(self, config: Config, registry: Registry, clock: Clock, tell: Callable[[str, float], None]) -> None:
        self._config, self._registry, self._clock, self._tell = config, registry, clock, tell
        self._since: float | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._config.policy is not None:
            self._thread = threading.Thread(target=self._run, name="watch-policy", daemon=True)
            self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Legal before start and twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        policy: Policy | None = None
        while not self._stopping.is_set():
            try:
                policy = policy or self._opened()
                self._note(problem_of(policy))
            except Exception as error:  # agents may meet the same, and nobody else would tell of it
                self._note(str(error) if isinstance(error, FuseboxError) else repr(error))
            self._stopping.wait(_ASK_EVERY_S if policy and policy.remote else _LOOK_EVERY_S)
        if policy is not None:
            policy.stop()

    def _opened(self) -> Policy:
        policy = open_policy(self._config, self._registry, self._clock)
        assert policy is not None
        policy.start()
        return policy

    def _note(self, problem: str) -> None:
        if not problem:
            self._since = None
            return
        self._since = self._since or self._clock.now()
        self._tell(problem, self._since)
