"""What stands behind the gateway, as ``gateway.toml`` says it: providers, their models, and tools.

Sections that contradict themselves are refused; what one of them says of another, :mod:`gateway.settings` looks at.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from fusebox.errors import ConfigError
from fusebox.rundir import one_line

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
