"""Who looks at a page, and what they may: asked anew before anything is shown or done, never remembered.

With ``oidc_file`` the provider says who somebody is, and the file what they may. What they see is read with the
dashboard's own token, which orders nothing; what they order needs an operator's token of their own. Without it, whoever
shows an operator's token is an operator, and everything is read with that token.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import streamlit as st

from dashboards.oidc import Role, load_oidc
from dashboards.state import memory
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.rundir import dashboard_token

SITTING_S: Final = 43_200.0
"""Half a day after somebody signed in at the provider they do so again; Streamlit's cookie alone would last a month."""
_ENDED: Final[dict[str, float]] = {}
"""Sign-ins that were ended before their time, by nonce, and when (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may see pages. ``id`` tells people apart for ever, ``name`` is for reading."""

    id: str
    name: str
    role: Role


def person(config: Config, clock: Clock) -> Person | None:
    """Who looks at this page; None: nobody whom it may be shown to."""
    if config.oidc_file is not None:
        return _by_provider(config, clock)
    name = memory().you
    return Person(f"operator:{name}", name, Role.OPERATOR) if memory().token else None


def may(config: Config, clock: Clock, least: Role) -> bool:
    """True when whoever looks at this page has that role, or a higher one."""
    found = person(config, clock)
    return found is not None and found.role >= least


def reading(config: Config) -> str:
    """The token with which *watch* is asked for what is shown; where it is refused, the page says so."""
    return memory().token if config.oidc_file is None else dashboard_token(config.data_dir)


def claimed() -> str:
    """The name of whom the provider signed in, whatever they may; empty when it is nobody."""
    claims = _claims()
    return str(claims.get("email") or claims.get("sub") or "")


def end_sign_in(clock: Clock) -> None:
    """This sign-in counts no more: neither in other windows, which Streamlit tells nothing, nor in a cookie's copy."""
    now = clock.wall()
    for nonce, ended in list(_ENDED.items()):
        if now - ended > SITTING_S:
            _ENDED.pop(nonce, None)
    _ENDED[str(_claims().get("nonce"))] = now


def _claims() -> dict[str, Any]:
    """What the provider told of whoever looks at this page; empty when it is nobody."""
    claims = st.user.to_dict()
    return claims if claims.get("is_logged_in") and str(claims.get("nonce")) not in _ENDED else {}


def _by_provider(config: Config, clock: Clock) -> Person | None:
    claims = _claims()
    since = claims.get("iat")
    if not isinstance(since, int | float):
        return None
    if clock.wall() - since > SITTING_S:
        return None
    try:
        role = load_oidc(config.oidc_file).role(claims) if config.oidc_file else None
    except ConfigError:
        return None  # the door says so
    return Person(f"{claims.get('iss')} {claims.get('sub')}", claimed(), role) if role else None
