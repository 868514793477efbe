"""Routes: which upstreams may serve a model, in which order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus

from fusebox.clock import Clock
from gateway.breaker import Circuit
from gateway.denied import Denied
from gateway.dialects import Dialect
from gateway.keys import Identity
from gateway.providers.base import Adapter
from gateway.providers.make import make_adapter
from gateway.settings import GatewaySettings
from gateway.systems import require_model
from gateway.upstream import Target
from gateway.upstream_settings import Provider


class Routes:
    """Providers and models as configured.

    Args:
        adapter: makes the adapter of a section.

    Raises:
        ConfigError: a credential is missing.
    """

    def __init__(
        self, settings: GatewaySettings, clock: Clock, adapter: Callable[[str, Provider], Adapter] = make_adapter
    ) -> None:
        self.providers: Mapping[str, Adapter] = {n: adapter(n, each) for n, each in settings.providers.items()}
        self._settings, self._clock = settings, clock
        self._circuits: dict[str, Circuit] = {}
        self._targets = {name: self._target(name) for name in settings.models}
        self._passing: dict[str, Target] = {
            name: Target("", "", each, Circuit(name, settings.circuit, clock), 0)
            for name, each in self.providers.items()
        }

    def circuits(self) -> list[Circuit]:
        """Of every model's upstream, each once."""
        return list(self._circuits.values())

    def models(self, identity: Identity) -> list[str]:
        """The models a key allows."""
        return [name for name in self._targets if identity.may_use_model(name)]

    def find(self, identity: Identity, model: str, dialect: Dialect) -> list[Target]:
        """Where ``model`` can be had, best first; fallbacks that are not for this key or API are left out.

        Raises:
            Denied: 404 or 403: there is no such model, or not for this key; 400: not by this API.
        """
        if model not in self._targets:
            known = ", ".join(self.models(identity)) or "none"
            sentence = f"the model {model!r} is not served here; this key may use {known}"
            raise Denied(HTTPStatus.NOT_FOUND, "model_not_found", sentence)
        require_model(identity, model)
        first = self._targets[model]
        first.adapter.translation(dialect)
        others = [self._targets[n] for n in self._settings.models[model].fallbacks if identity.may_use_model(n)]
        return [first, *(target for target in others if _serves(target, dialect))]

    def passing(self, provider: str) -> Target:
        """A provider as such, for requests that are passed through."""
        return self._passing[provider]

    def _target(self, alias: str) -> Target:
        model = self._settings.models[alias]
        called = model.name or alias
        name = f"{model.provider}/{called}"
        circuit = self._circuits.setdefault(name, Circuit(name, self._settings.circuit, self._clock))
        return Target(alias, called, self.providers[model.provider], circuit, model.retries)


def _serves(target: Target, dialect: Dialect) -> bool:
    try:
        target.adapter.translation(dialect)
    except Denied:
        return False
    return True
