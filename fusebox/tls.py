"""TLS of what we call: whom we believe, and what a refusal means."""

from __future__ import annotations

import ssl
from typing import Final

_UNTRUSTED: Final = "CERTIFICATE_VERIFY_FAILED"


def client_context(
    authorities: str | None = None, certificate: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """A context that checks the server's certificate and name.

    Args:
        authorities: file (PEM) of those to believe; the machine's by default, or those of ``SSL_CERT_FILE``.
        certificate: file (PEM) of our own, for a server that asks for one; ``key`` is its key, when not in it.

    Raises:
        OSError: a file cannot be read, or (ssl.SSLError) is no such thing.
    """
    context = ssl.create_default_context(cafile=authorities)
    if certificate is not None:
        context.load_cert_chain(certificate, key, password="")  # never ask for one at the terminal
    return context


def advised(text: str) -> str:
    """The text of an error, and what to do where it says that a certificate is not believed."""
    if _UNTRUSTED not in text:
        return text
    return f"{text}; name the authority in SSL_CERT_FILE, or have the certificate or the address corrected"
