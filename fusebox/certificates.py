"""The certificate of a server of ours, read anew when its files have changed: a restart would cut streams.

Files are looked at when a client connects; connections that stand go on with what they began with. What cannot
be used, such as a pair of which one half is written so far, leaves what was read last in force. It is told once, and
tried with each client: a right to read a file comes without a change of it.
"""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from fusebox import happenings
from fusebox.secrets_file import identity

_Seen = list[tuple[int, int, int] | None]

RENEWED: Final = happenings.declare(
    "certificate_renewed", logging.INFO, "the files of a server's certificate changed; new connections get what is new"
)
UNUSABLE: Final = happenings.declare(
    "certificate_unusable",
    logging.ERROR,
    "the files of a server's certificate changed and cannot be used; the old stays",
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Files (PEM) of an HTTPS server; with ``clients`` it asks for certificates of these authorities, and takes
    clients that have none, too."""

    certificate: Path
    key: Path
    clients: Path | None = None


class ServerContext(ssl.SSLContext):
    """What a server shows, and whom it believes: each connection begins in a context of what the files held last.

    A context of its own, since a client that goes on with an earlier session is not asked for its certificate again:
    one whose authority is gone would be let in.

    Raises:
        OSError: a file cannot be read, or (ssl.SSLError) is no such thing.
    """

    def __new__(cls, _: Tls) -> ServerContext:
        return super().__new__(cls, ssl.PROTOCOL_TLS_SERVER)

    def __init__(self, files: Tls) -> None:
        self._files, self._seen, self._newest = files, _identities(files), _context(files)
        self._refused = self._seen

    def wrap_bio(self, *args: Any, **kwargs: Any) -> ssl.SSLObject:
        """A client connects."""
        seen = _identities(self._files)
        if seen != self._seen:
            self._renew(seen)
        return self._newest.wrap_bio(*args, **kwargs)

    def _renew(self, seen: _Seen) -> None:
        told = str(self._files.certificate)
        try:
            self._newest, self._seen = _context(self._files), seen
        except OSError as error:
            if seen != self._refused:
                happenings.emit(UNUSABLE, certificate=told, error=str(error))
            self._refused = seen
        else:
            happenings.emit(RENEWED, certificate=told)


def _identities(files: Tls) -> _Seen:
    return [identity(path) for path in (files.certificate, files.key, files.clients) if path]


def _context(files: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.key, password="")  # never ask for one at the terminal
    if files.clients:
        context.verify_mode = ssl.CERT_OPTIONAL
        context.load_verify_locations(files.clients)
    return context
