"""Policy: the one that is in force, whatever engine has it, and how it is replaced while agents run.

::

    none ── loads ──► in force ── a newer one loads ──────────────► in force (the newer)
      │                  │
      │                  └─────── the newer one is no good ───────► in force (the last good one), and an alarm
      └── cannot load ──► none: every action is denied, and an alarm

A policy folder and ``agents.toml`` are looked at every second. What was loaded is one immutable :class:`_Loaded`:
whoever asks while it is replaced gets an answer of the one or the other, never a mixture.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import governance
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import Keyring
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.guard import POLICY
from fusebox.http_address import names_user, web_address
from fusebox.records import Action, ActionKind, Decision, Verdict
from fusebox.registry import Registry
from fusebox.rundir import one_line
from fusebox.secrets_file import identity
from governance.policy.bundle import read_bundle, stamp
from governance.policy.cache import LIFETIMES_S, Verdicts
from governance.policy.grants import Grants
from governance.policy.opa import OpaEngine
from governance.policy.question import Questions
from governance.policy.rego import RegoEngine
from governance.policy.ruling import BadPolicy, Engine, NotTried, PolicyUnavailable, Question, Ruling
from governance.registry import load_registry

SHIPPED: Final = "default"
"""The value of the setting ``policy`` that means the policy Fusebox comes with."""
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


@dataclass(frozen=True, slots=True)
class _Loaded:
    engine: Engine
    questions: Questions
    grants: Grants
    verdicts: Verdicts
    """Its own, so that an answer of the policy before, still on its way, is not remembered as one of this."""


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
        self._loaded: _Loaded | None = None
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
        summary = loaded.questions.summary(action)
        key = loaded.questions.key(action, summary)
        now = self._clock.monotonic()
        found = loaded.verdicts.get(key, now)
        if found is not None:
            return found
        try:
            ruling = loaded.engine.decide(loaded.questions.question(action, summary))
        except (PolicyUnavailable, BadPolicy) as error:
            return self._nobody(str(error))
        verdict = _verdict(ruling, action, loaded)
        loaded.verdicts.put(key, verdict, loaded.grants.of(action.agent).risk, now)
        return verdict

    def remembers(self, action: Action) -> bool:
        """True while its verdict stands without anybody being asked.

        Never of an action with arguments: to read those may take as long.
        """
        loaded = self._loaded
        if loaded is None or action.arguments is not None:
            return loaded is None
        key = loaded.questions.key(action, {})
        return loaded.verdicts.get(key, self._clock.monotonic()) is not None

    def ruling(self, action: Action) -> Ruling:
        """What the policy says, asked anew and in full.

        Raises:
            PolicyUnavailable: nobody can be asked.
            BadPolicy: the answer is no decision.
        """
        return self._in_force().engine.decide(self.question(action))

    def question(self, action: Action) -> Question:
        """What is asked about an action.

        Raises:
            PolicyUnavailable: no policy is loaded.
        """
        questions = self._in_force().questions
        return questions.question(action, questions.summary(action))

    def judges_unrecorded(self, agent: str) -> bool:
        """True when a verdict on the agent may depend on what is not on record."""
        return self._in_force().questions.judges_unrecorded(agent)

    def _in_force(self) -> _Loaded:
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
        self._loaded = _Loaded(engine, Questions(grants, engine, self._environment), grants, Verdicts())
        self.problem = ""
        happenings.emit(LOADED, grants=grants.revision)

    def _reject(self, why: str) -> None:
        self.problem = why
        happenings.emit(REJECTED, reason=why, kept=self._loaded is not None)

    @staticmethod
    def _nobody(why: str) -> Verdict:
        happenings.emit(UNAVAILABLE, reason=why)
        return Verdict(Decision.DENY, POLICY, why, retry_after=RETRY_S, narrow=True)


def open_policy(config: Config, registry: Registry, clock: Clock) -> Policy | None:
    """The policy that the configuration names; None when it names none, and nobody is asked.

    Raises:
        ConfigError: the setting makes no sense. A policy that cannot be loaded is no such error: it denies.
    """
    if config.policy is None:
        if config.policy_keys is not None:
            raise ConfigError("policy_keys is set but policy is not; name the policy that has to be signed")
        return None
    load, changed = _source(config, config.policy, clock)
    return Policy(load, changed, registry, config.agents_file, config.environment, clock)


def problem_of(policy: Policy) -> str:
    """Why the policy is not in force as it is written, or cannot be asked; empty when all is well."""
    try:
        policy.ruling(_NOTHING)
    except (PolicyUnavailable, BadPolicy) as error:
        return str(error)
    return policy.problem


def folder_of(policy: str) -> Path:
    """The folder of a policy that is no server's."""
    return Path(governance.__file__).parents[1] / "policies" / SHIPPED if policy == SHIPPED else Path(policy)


def is_server(policy: str) -> bool:
    """True when the setting names an OPA server."""
    return policy.startswith(("http://", "https://"))


def _source(config: Config, policy: str, clock: Clock) -> tuple[Callable[[Grants], Engine], Callable[[], object]]:
    keys_file = config.policy_keys
    if is_server(policy):
        if keys_file is not None:
            raise ConfigError("policy_keys is for policy folders; an OPA server verifies its bundles itself")
        _require_address(policy)
        token = one_line(config.secret("policy_token") or "", "policy_token (FUSEBOX_POLICY_TOKEN)")
        return lambda _: OpaEngine(policy, token, clock), lambda: None
    folder = folder_of(policy)

    def load(grants: Grants) -> Engine:
        return RegoEngine(read_bundle(folder, _keys(keys_file)), grants.document())

    return load, lambda: (stamp(folder), identity(keys_file) if keys_file else None)


def _require_address(policy: str) -> None:
    """
    Raises:
        ConfigError: nobody can be asked there, or a secret stands in what logs will show.
    """
    if names_user(policy):
        raise ConfigError("policy holds a user or password, which logs would show; use policy_token")
    parts = web_address(policy)
    if parts is None or parts.query or parts.fragment:
        raise ConfigError("policy is no address of an OPA server; write http(s)://host:port, or with the whole path")


def _keys(path: Path | None) -> Keyring | None:
    """
    Raises:
        BadPolicy: the file cannot be read.
    """
    if path is None:
        return None
    try:
        return Keyring.load(path.read_text())
    except (OSError, ValueError) as error:
        raise BadPolicy(f"policy_keys: {path}: {error}") from error


def _verdict(ruling: Ruling, action: Action, loaded: _Loaded) -> Verdict:
    """The ruling on an action, and on all that the policy cannot tell from it; the reason must be true of each."""
    about, risk = f"{action.kind} {action.operation}", loaded.grants.of(action.agent).risk
    alone = loaded.questions.names_target(action.agent) or not LIFETIMES_S[risk]
    if alone and action.target not in ("", action.operation):
        about += f" on {action.target}"
    reason = f"{ruling.reason or ruling.rule or ruling.decision} ({about})"
    revision = f"{ruling.revision}+{loaded.grants.revision}"
    return Verdict(
        ruling.decision, POLICY, reason, narrow=True, revision=revision, decision_id=ruling.decision_id
    )  # fmt: skip
