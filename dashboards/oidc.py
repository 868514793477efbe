"""Who may see the dashboard, as operators write it (``oidc_file``), and what Streamlit is told of it.

::

    metadata_url = "https://login.example.com/.well-known/openid-configuration"
    client_id = "fusebox"
    client_secret_file = "/etc/fusebox/oidc.secret"
    url = "https://fusebox.example.com"        # where people reach the dashboard; left out: where it listens

    [operator]
    emails = ["jo@example.com"]

    [auditor]
    groups = ["revision"]

    [viewer]
    emails = ["*@example.com"]

A person has the highest role that names them; whom none names sees nothing. An e-mail address counts only when the
provider says that it verified it.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from enum import IntEnum
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from fusebox.config import is_loopback
from fusebox.errors import ConfigError
from fusebox.toml_file import read_toml

CALLBACK: Final = "/oauth2callback"
"""The path that Streamlit serves and the provider sends people back to."""


class Role(IntEnum):
    """What a person may do; each may what those before it may."""

    VIEWER = 1
    """See what agents did and cost."""
    AUDITOR = 2
    """See prompts and the audit log, and ask questions in SQL."""
    OPERATOR = 3
    """Order, with a token of the control API."""


class People(BaseModel):
    """A section: e-mail addresses (``*`` matches anything) and values of the claim for groups."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    emails: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    def has(self, email: str, groups: frozenset[str]) -> bool:
        """True when the address or one of the groups is named here."""
        return not groups.isdisjoint(self.groups) or any(
            fnmatchcase(_lower(email), _lower(pattern)) for pattern in self.emails if email
        )


class OidcRules(BaseModel):
    """The whole file."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    metadata_url: str
    client_id: str
    client_secret_file: Path
    url: str = ""
    groups_claim: str = "groups"
    operator: People = People()
    auditor: People = People()
    viewer: People = People()

    @field_validator("metadata_url", "url")
    @classmethod
    def _private(cls, url: str) -> str:
        if url and not url.startswith("https://") and not (url.startswith("http://") and is_loopback(url)):
            raise ValueError(f"{url} is neither https nor on this machine: whoever listens could sign in as anybody")
        return url.rstrip("/")

    @field_validator("url")
    @classmethod
    def _bare(cls, url: str) -> str:
        if urlsplit(url).path:
            raise ValueError(f"{url} has a path; give the dashboard a host name of its own")
        return url

    @model_validator(mode="after")
    def _somebody(self) -> OidcRules:
        if not any(people.emails or people.groups for _, people in self._sections()):
            raise ValueError("nobody has a role; name people in [operator], [auditor] or [viewer]")
        return self

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The role of whom the provider tells these claims of; None for a stranger.

        What the provider told another client counts for nothing here (OpenID Connect Core 1.0, 3.1.3.7), which Authlib
        lets pass when ``azp`` names us.
        """
        if self.client_id not in _listed(claims.get("aud")):
            return None
        email = str(claims.get("email") or "") if claims.get("email_verified") is True else ""
        groups = _listed(claims.get(self.groups_claim))
        return next((role for role, people in self._sections() if people.has(email, groups)), None)

    def streamlit_secrets(self, local: str) -> str:
        """What stands in Streamlit's ``secrets.toml``; the cookies of an earlier start are worth nothing.

        Args:
            local: the address at which the dashboard listens.

        Raises:
            ConfigError: the client's secret cannot be read.
        """
        try:
            secret = self.client_secret_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise ConfigError(f"oidc_file: client_secret_file {self.client_secret_file}: {error}") from error
        values = {
            "redirect_uri": (self.url or local) + CALLBACK, "cookie_secret": secrets.token_urlsafe(48),
            "client_id": self.client_id, "client_secret": secret, "server_metadata_url": self.metadata_url,
        }  # fmt: skip
        lines = (f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in values.items())
        return "[auth]\n" + "".join(lines)

    def _sections(self) -> Iterator[tuple[Role, People]]:
        yield Role.OPERATOR, self.operator
        yield Role.AUDITOR, self.auditor
        yield Role.VIEWER, self.viewer


def _listed(told: Any) -> frozenset[str]:
    """The values of a claim that is a list, or one value alone."""
    return frozenset(map(str, told if isinstance(told, list | tuple) else (told,) if told else ()))


def _lower(email: str) -> str:
    """Letters of ASCII only: folding others makes one mailbox of two, such as ``straße@`` and ``strasse@``."""
    return email.lower() if email.isascii() else email


def load_oidc(path: Path) -> OidcRules:
    """Read ``oidc_file``.

    Raises:
        ConfigError: it is missing or no TOML, or something in it does not fit; the text names it.
    """
    return read_toml(path, OidcRules, "write it, or unset oidc_file")
