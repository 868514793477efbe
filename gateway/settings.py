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

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from fusebox.errors import ConfigError
from fusebox.rundir import one_line
from fusebox.toml_file import read_toml
from gateway.filter import FilterSettings
from gateway.limits import Limit
from gateway.masking import MaskingSettings

RESERVED: Final = frozenset({"v1", "tools", "healthz", "metrics"})
"""First parts of paths that are the gateway's own, so no provider may have such a name."""
_PATHS: Final = ("/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_HEADER: Final = r"^[a-z][a-z0-9-]{0,63}$"
_TAKEN: Final = frozenset({
    "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive", "te", "trailer",
    "transfer-encoding", "upgrade", "traceparent", "tracestate", "x-fusebox-agent",
})  # fmt: skip
"""Headers that say how a request travels, what it holds and whose it is: a credential there is lost, or breaks it."""

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Method = Annotated[
    Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    BeforeValidator(lambda name: name.upper() if isinstance(name, str) else name),
]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Kind(StrEnum):
    """Whose API a provider speaks."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    AZURE = "azure"
    BEDROCK = "bedrock"


_HOMES: Final = {Kind.OPENAI: "https://api.openai.com/v1", Kind.ANTHROPIC: "https://api.anthropic.com"}


class Upstream(Section):
    """What providers and tools have in common. Times are seconds.

    Attributes:
        key_env: the environment variable with the credential; ``key_file``: or the file.
        connect_s: until a connection stands; idle_s: between two pieces of an answer; total_s: for the whole attempt.
    """

    url: str = ""
    key_env: str = ""
    key_file: Path | None = None
    connect_s: Seconds = 5.0
    idle_s: Seconds = 120.0
    total_s: Seconds = 600.0

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        parts = urlsplit(self.url)
        if self.url and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError(f"url {self.url!r} is not an http(s) address without query")
        if self.key_env and self.key_file:
            raise ValueError("key_env and key_file are two credentials; leave one of them out")
        return self

    def credential(self, name: str) -> str:
        """The secret itself; empty when none is configured.

        Raises:
            ConfigError: the variable is not set, or the file cannot be read; the text never shows the secret.
        """
        if self.key_env and not os.environ.get(self.key_env):
            raise ConfigError(f"{name}: the variable {self.key_env} (key_env) is not set")
        try:
            text = self.key_file.read_text() if self.key_file else os.environ.get(self.key_env, "")
        except OSError as error:
            raise ConfigError(f"{name}: key_file {self.key_file} cannot be read: {error.strerror}") from error
        return one_line(text, f"{name}: the credential")


class Provider(Upstream):
    """One provider of models.

    Attributes:
        api_version: of Azure OpenAI, for example ``2024-10-21``.
        region: of AWS, for Bedrock; the credentials are those of the AWS SDK (variables, profile, role).
        passthrough: HTTP methods with which agents may use its other paths (files, batches …); none by default, since
            no quota in tokens or money sees what such a path uses.
    """

    kind: Kind
    passthrough: frozenset[Method] = frozenset()
    api_version: str = ""
    region: str = ""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind is Kind.AZURE and not (self.url and self.api_version):
            raise ValueError("azure needs url (https://NAME.openai.azure.com) and api_version")
        if (self.kind is Kind.BEDROCK) != bool(self.region):
            raise ValueError("region goes with bedrock, which needs it")
        if self.kind is not Kind.AZURE and self.api_version:
            raise ValueError("api_version is for azure")
        return self

    @property
    def home(self) -> str:
        """Base address, without a slash at its end."""
        if self.url:
            return self.url.rstrip("/")
        return _HOMES.get(self.kind) or f"https://bedrock-runtime.{self.region}.amazonaws.com"


class Model(Section):
    """One model as agents know it.

    Attributes:
        name: what the provider calls it (Azure: the deployment); by default the same.
        fallbacks: models tried in order when this one fails; theirs are not followed.
        retries: further attempts at the same upstream after a failure that may pass.
    """

    provider: str
    name: str = ""
    fallbacks: tuple[str, ...] = ()
    retries: Annotated[int, Field(ge=0, le=5)] = 1


class Tool(Upstream):
    """One internal system.

    Attributes:
        header: where the credential goes, and ``scheme`` what stands before it.
        methods: HTTP methods that agents may use.
    """

    url: Annotated[str, StringConstraints(min_length=8)]
    header: Annotated[str, StringConstraints(pattern=_HEADER)] = "authorization"
    scheme: str = "Bearer"
    methods: frozenset[Method] = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE"})

    @field_validator("header")
    @classmethod
    def _free(cls, header: str) -> str:
        if header in _TAKEN:
            raise ValueError(
                f"{header!r} cannot hold a credential, it says something else; name the system's own header"
            )
        return header


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
