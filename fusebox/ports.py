"""Listening sockets whose failure names the port, and the setting that moves it."""

from __future__ import annotations

import errno
import socket

from fusebox.errors import ConfigError, PortInUse

_BACKLOG = 512


def bind(host: str, port: int, setting: str) -> socket.socket:
    """A listening TCP socket (``port`` 0 picks a free one).

    Raises:
        PortInUse: another program listens there.
        ConfigError: the address is not one of this machine's, or the port needs more rights.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise port_in_use(host, port, setting) from error
        raise ConfigError(f"cannot listen on {host}:{port} ({error.strerror}); change host or {setting}") from error
    return sock


def port_of(sock: socket.socket) -> int:
    """The port a socket is bound to."""
    return int(sock.getsockname()[1])


def address(host: str, port: int) -> str:
    """``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def port_in_use(host: str, port: int, setting: str) -> PortInUse:
    """The error for a taken port."""
    return PortInUse(
        f"port {port} on {host} is taken by another program; stop it, or set {setting} "
        f"(FUSEBOX_{setting.upper()}) to a free port"
    )
