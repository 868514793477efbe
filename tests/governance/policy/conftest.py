"""A policy by either engine, over the shipped bundle."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fusebox.clock import Clock, ManualClock
from fusebox.config import Config
from fusebox.records import Action, ActionKind, Verdict
from fusebox.registry import Registry
from governance.policy.bundle import Bundle, read_bundle
from governance.policy.policy import Policy
from governance.policy.source import SHIPPED, folder_of, open_policy
from tests.governance.policy.opa_server import OpaServer, opa_server

REGISTRY: dict[str, Any] = {
    "roles": {
        "reader": {
            "grants": [{"action": "tool_call", "resource": "warehouse*", "when": {"target": "GET *"}}],
            "denies": [{"action": "tool_call", "resource": "warehouse", "when": {"target": "* /secret*"}}],
        }
    },
    "agents": {
        "analyst": {"owner": "jo", "risk": "low", "roles": ["reader"], "handles": ["delay.*"], "publishes": ["plan.#"]},
        "executor": {
            "owner": "jo",
            "risk": "high",
            "grants": [
                {"action": "tool_call", "resource": "erp.order", "at_most": {"arguments.amount": 10000}},
                {"action": "tool_call", "resource": "erp.order", "above": {"arguments.amount": 500}, "hold": True},
                {"action": "model_call", "resource": "gpt-*"},
            ],
        },
    },
}


def holding(fact: str) -> dict[str, Any]:
    """Somebody who may order anything, but for large amounts of this fact."""
    any_order = {"action": "tool_call", "resource": "erp.order"}
    return {"owner": "jo", "grants": [any_order, {**any_order, "above": {fact: 500}, "hold": True}]}


TELLER: dict[str, Any] = {
    "owner": "jo",
    "grants": [{"action": "tool_call", "resource": "pay"}],
    "denies": [{"action": "tool_call", "resource": "pay", "when": {"arguments.account": "47*"}}],
}
AGENTS = {
    **REGISTRY["agents"],
    "teller": TELLER,
    "clerk": holding("arguments.amount"),
    "deep": holding("arguments.body.a.b.c.d.e.f"),
}

Make = Callable[..., Policy]


def action(agent: str, kind: str, resource: str, target: str = "", arguments: object = None, **more: Any) -> Action:
    return Action(ActionKind(kind), agent, resource, target, arguments=arguments, **more)


def ask(policy: Policy, *about: str, **arguments: object) -> Verdict:
    """The verdict on (agent, kind, resource[, target])."""
    return policy.verdict(action(*about, arguments=arguments or None))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(folder_of(SHIPPED))


@pytest.fixture(scope="module")
def server() -> Iterator[OpaServer]:
    with opa_server() as running:
        yield running


def made(policy: str, registry: object, clock: Clock, folder: Path, **settings: Any) -> Policy:
    config = Config(policy=policy, agents_file=folder / "agents.toml", environment="test", **settings)
    found = open_policy(config, Registry.model_validate(registry), clock)
    assert found is not None
    return found


@pytest.fixture
def make(clock: ManualClock, tmp_path: Path) -> Make:
    """``make(policy, registry, **settings)``"""

    def make(policy: str, registry: object = REGISTRY, **settings: Any) -> Policy:
        return made(policy, registry, clock, tmp_path, **settings)

    return make


@pytest.fixture(scope="module", params=["rego", "opa"])
def policy(
    request: pytest.FixtureRequest, server: OpaServer, shipped: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Policy:
    """The shipped policy, by each engine."""
    server.serve(shipped)
    folder = tmp_path_factory.mktemp("policy")
    return made(
        SHIPPED if request.param == "rego" else server.url, {**REGISTRY, "agents": AGENTS}, ManualClock(), folder
    )
