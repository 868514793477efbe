"""What the gateway serves: ``gateway.toml``. Unknown keys and contradictions are refused at start.

::

    [providers.openai]
    kind = "openai"                 # openai (and whatever speaks its API), anthropic, azure or bedrock
    key_env = "OPENAI_API_KEY"      # the variable that holds the credential; agents never see it

    [models.gpt-5-mini]             # what agents ask for
    provider = "openai"
    fallbacks = ["claude-haiku"]    # tried in order when it fails

    [tools.tickets]                 # an internal system, at /tools/tickets/…
    url = "https://tickets.internal/api"
    key_env = "TICKETS_TOKEN"
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fusebox.toml_file import read_toml
from gateway.filter import FilterSettings
from gateway.limits import Limit
from gateway.masking import MaskingSettings
from gateway.upstream_settings import Model, Provider, Seconds, Section, Tool

RESERVED: Final = frozenset({"v1", "tools", "healthz", "metrics"})
"""First parts of paths that are the gateway's own, so no provider may have such a name."""
_PATHS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class CircuitSection(Section):
    """The circuit of each upstream.

    Attributes:
        fail_max: failures in a row that open it.
        open_s: seconds until one call may probe.
    """

    fail_max: Annotated[int, Field(gt=0)] = 5
    open_s: Seconds = 15.0


class TlsSection(Section):
    """HTTPS, and agents known by their certificates.

    Attributes:
        certificate: the gateway's own, with its chain (PEM); ``key``: its key.
        clients: the authorities (PEM) that agents' certificates come from; left out, keys alone let agents in.
    """

    certificate: Path
    key: Path
    clients: Path | None = None


class GatewaySettings(BaseModel):
    """Everything in ``gateway.toml``.

    Attributes:
        limits: rates and budgets; see :mod:`gateway.limits.rules`.
        masking: left out, nothing is masked; see :mod:`gateway.masking.settings`.
        filter: left out, nothing is filtered; see :mod:`gateway.filter.settings`.
        plant_canaries: put a canary into every conversation and look for it in what comes back; needs ``filter``.
        tls: left out, the gateway speaks plain HTTP, for agents of the same machine.
        workers: how many gateways share them: each one's share while Redis is away.
        max_body_bytes: a longer request is refused.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    providers: dict[str, Provider] = {}
    models: dict[str, Model] = {}
    tools: dict[str, Tool] = {}
    circuit: CircuitSection = CircuitSection()
    limits: tuple[Limit, ...] = ()
    masking: MaskingSettings | None = None
    filter: FilterSettings | None = None
    plant_canaries: bool = False
    tls: TlsSection | None = None
    workers: Annotated[int, Field(gt=0)] = 1
    max_body_bytes: Annotated[int, Field(gt=0)] = 16 << 20

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in (*self.providers, *self.tools):
            if not _NAME.fullmatch(name) or name in RESERVED:
                raise ValueError(f"{name!r} cannot name a provider or tool: {_NAME.pattern}, and none of {RESERVED}")
        if both := [name for name in self.tools if name in self.providers and self.providers[name].passthrough]:
            raise ValueError(f"{both[0]!r} is a tool and a provider with passthrough: a key could not tell them apart")
        for route in self.masking.routes if self.masking is not None else ():
            if not self._is_served(route):
                raise ValueError(f"masking.routes: {route!r} fits nothing that is served; see the paths in the guide")
        if self.plant_canaries and self.filter is None:
            raise ValueError("plant_canaries needs a section [filter], which looks for them")
        for name, model in self.models.items():
            if model.provider not in self.providers:
                raise ValueError(f"models.{name}: there is no [providers.{model.provider}]")
            if lost := [each for each in model.fallbacks if each not in self.models or each == name]:
                raise ValueError(f"models.{name}: fallbacks names {lost[0]!r}, which is no other model here")
        return self

    def _is_served(self, route: str) -> bool:
        """True when some path may fit the pattern: their beginnings agree as far as both are known."""
        said = re.split(r"[*?\[]", route)[0]
        served = (*_PATHS, *(f"/tools/{name}/" for name in self.tools), *(f"/{name}/" for name in self.providers))
        return any(said.startswith(path) or path.startswith(said) for path in served)


def load_settings(path: Path) -> GatewaySettings:
    """Read the file.

    Raises:
        ConfigError: it is missing, cannot be read or does not fit; the text names the place.
    """
    return read_toml(path, GatewaySettings, "see docs/guide/gateway.md for a first one")
