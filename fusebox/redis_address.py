"""Where Redis is: read once for all who speak to it. What cannot be used is refused, without the password in it."""

from __future__ import annotations

import ssl
from typing import Any, Final

from redis.connection import parse_url

from fusebox.errors import ConfigError
from fusebox.tls import client_context

_SECURE: Final = "rediss://"
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def redis_place(url: str) -> dict[str, Any]:
    """What a ``redis://``, ``rediss://`` or ``unix://`` address says, in the words of redis-py.

    Raises:
        ConfigError: it cannot be read, or a file of its certificates cannot be used.
    """
    try:
        place: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]
    except ValueError:  # its text quotes parts of the address
        raise ConfigError(
            "redis_url cannot be read; write it as redis://user:password@host:6379/0, with TLS as "
            "rediss://…?ssl_ca_certs=FILE, or as unix://user:password@/path, and special characters as %XX"
        ) from None
    told = {name for name in place if name.startswith("ssl_")}
    if unknown := told - set(_FILES):
        raise ConfigError(f"redis_url: {', '.join(sorted(unknown))}: certificates and names are checked; leave it out")
    keyless = "ssl_keyfile" in told and "ssl_certfile" not in told
    if keyless or (told and not url.startswith(_SECURE)):
        raise ConfigError(f"redis_url: {', '.join(_FILES)} are for rediss://, and a key needs its certificate")
    redis_context(url, place)
    return place


def redis_context(url: str, place: dict[str, Any]) -> ssl.SSLContext | None:
    """For ``rediss://``: made anew for each connection, so that new certificates count from the next one on.

    Raises:
        ConfigError: a file cannot be used.
    """
    if not url.startswith(_SECURE):
        return None
    files = {name: place[name] for name in _FILES if name in place}
    try:
        return client_context(*(files.get(name) for name in _FILES))
    except OSError as error:
        raise ConfigError(f"redis_url: a certificate cannot be used ({error}); see {files}") from None
