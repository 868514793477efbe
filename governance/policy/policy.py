"""Policy: the one that is in force, whatever engine has it, and how it is replaced while agents run.

::

    none ── loads ──► in force ── a newer one loads ──────────────► in force (the newer)
      │                  │
      │                  └─────── the newer one is no good ───────► in force (the last good one), and an alarm
      └── cannot load ──► none: every action is denied, and an alarm

Where it comes from (:mod:`governance.policy.source`) and ``agents.toml`` are looked at every second. What was loaded is
one immutable :class:`governance.policy.loaded.Loaded`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import ConfigError
from fusebox.guard import POLICY
from fusebox.records import Action, ActionKind, Decision, Verdict
from fusebox.registry import Registry
from fusebox.secrets_file import identity
from governance.policy.grants import Grants
from governance.policy.loaded import Loaded
from governance.policy.question import Questions
from governance.policy.ruling import BadPolicy, Engine, NotTried, PolicyUnavailable, Question, Ruling
from governance.registry import load_registry

LOOK_EVERY_S: Final = 1.0
RETRY_S: Final = 5.0
"""Told to those who are denied because no policy can be asked."""

_NOTHING: Final = Action(ActionKind.TOOL_CALL, "nobody", "nothing")

LOADED: Final = happenings.declare("policy_loaded", logging.INFO, "a policy, or new grants, are in force")
REJECTED: Final = happenings.declare(
    "policy_rejected", logging.ERROR, "a policy or agents.toml is no good; the last good one stays, or all is denied"
)
UNAVAILABLE: Final = happenings.declare(
    "policy_unavailable", logging.WARNING, "no policy could be asked, or it gave no decision; the action was denied"
)


class Policy:
    """Rules on actions; a :class:`fusebox.lifecycle.Service` that looks for changes while it runs.

    Args:
        load: makes the engine.
        changed: gives another value whenever :attr:`load` would give another engine.
        registry: the grants to begin with.
        agents_file: read again when it changes.
        environment: the name of this deployment.
    """

    def __init__(
        self, load: Callable[[Grants], Engine], changed: Callable[[], object], registry: Registry, agents_file: Path,
        environment: str, clock: Clock,
    ) -> None:  # fmt: skip
        self._load, self._changed, self._clock = load, changed, clock
        self._agents_file, self._environment = agents_file, environment
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._loaded: Loaded | None = None
        self.problem = ""
        """Why the newest policy or the newest grants are not in force; empty when they are."""
        self._granted = identity(agents_file)
        """Which agents.toml the grants are from."""
        self._seen: tuple[object, object] | None = (changed(), self._granted)
        self._renew(Grants(registry))

    def verdict(self, action: Action) -> Verdict:
        """Rule on an action."""
        loaded = self._loaded
        if loaded is None:
            return self._nobody(f"no policy is loaded, so nothing is allowed: {self.problem}")
        try:
            return loaded.verdict(action, self._clock.monotonic())
        except (PolicyUnavailable, BadPolicy) as error:
            return self._nobody(str(error))

    def remembers(self, action: Action) -> bool:
        """True while its verdict stands without anybody being asked."""
        loaded = self._loaded
        return loaded is None or loaded.remembers(action, self._clock.monotonic())

    def ruling(self, action: Action) -> Ruling:
        """What the policy says, asked anew and in full.

        Raises:
            PolicyUnavailable: nobody can be asked.
            BadPolicy: the answer is no decision.
        """
        loaded = self._in_force()
        return loaded.engine.decide(loaded.question(action))

    def question(self, action: Action) -> Question:
        """What is asked about an action.

        Raises:
            PolicyUnavailable: no policy is loaded.
        """
        return self._in_force().question(action)

    def judges_unrecorded(self, agent: str) -> bool:
        """True when a verdict on the agent may depend on what is not on record."""
        return self._in_force().questions.judges_unrecorded(agent)

    def _in_force(self) -> Loaded:
        if self._loaded is None:
            raise PolicyUnavailable(self.problem)
        return self._loaded

    @property
    def remote(self) -> bool:
        """True when a verdict may take a call over the network."""
        return self._loaded is not None and self._loaded.engine.remote

    @property
    def grants(self) -> Grants:
        """What the registry says, as far as it is in force."""
        return self._loaded.grants if self._loaded is not None else self._grants

    def refresh(self) -> None:
        """Load what has changed."""
        seen, grants, bad = (self._changed(), identity(self._agents_file)), self._grants, ""
        if seen == self._seen:
            return
        self._seen = seen
        if seen[1] != self._granted:
            try:
                grants, self._granted = Grants(load_registry(self._agents_file)), seen[1]
            except ConfigError as error:
                bad = str(error)
        self._renew(grants)
        if bad:
            self._reject(bad)

    def start(self) -> None:
        """Look for changes from now on, on a thread of its own: compiling takes a moment."""
        self._thread = threading.Thread(target=self._run, name="fusebox-policy", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Look no more, and let go of the engine: everything is denied from here on. Legal before start and twice."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout)
        loaded, self._loaded, self.problem = self._loaded, None, "this process is stopping"
        if loaded is not None:
            loaded.engine.close()

    def _run(self) -> None:
        while not self._stopping.wait(LOOK_EVERY_S):
            try:
                self.refresh()
            except Exception as error:  # a folder that vanishes while it is read, say: looked at again
                self._reject(repr(error))

    def _renew(self, grants: Grants) -> None:
        self._grants = grants
        try:
            engine = self._load(grants)
        except BadPolicy as error:
            self._reject(str(error))
            if isinstance(error, NotTried):
                self._seen = None  # again at the next look
            return
        self._loaded = Loaded(engine, Questions(grants, engine, self._environment), grants)
        self.problem = ""
        happenings.emit(LOADED, grants=grants.revision)

    def _reject(self, why: str) -> None:
        self.problem = why
        happenings.emit(REJECTED, reason=why, kept=self._loaded is not None)

    @staticmethod
    def _nobody(why: str) -> Verdict:
        happenings.emit(UNAVAILABLE, reason=why)
        return Verdict(Decision.DENY, POLICY, why, retry_after=RETRY_S, narrow=True)


def problem_of(policy: Policy) -> str:
    """Why the policy is not in force as it is written, or cannot be asked; empty when all is well."""
    try:
        policy.ruling(_NOTHING)
    except (PolicyUnavailable, BadPolicy) as error:
        return str(error)
    return policy.problem
