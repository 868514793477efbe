"""Where a policy comes from: the shipped folder, another folder, or an OPA server, as the setting ``policy`` says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import governance
from fusebox.clock import Clock
from fusebox.command import Keyring
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.http_address import names_user, web_address
from fusebox.registry import Registry
from fusebox.rundir import one_line
from fusebox.secrets_file import identity
from governance.policy.bundle import read_bundle, stamp
from governance.policy.grants import Grants
from governance.policy.opa import OpaEngine
from governance.policy.policy import Policy
from governance.policy.rego import RegoEngine
from governance.policy.ruling import BadPolicy, Engine

SHIPPED: Final = "default"
"""The value of the setting that means the policy Fusebox comes with."""


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
