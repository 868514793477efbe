"""Which roles run on a data folder, and whether they say they are well."""

from __future__ import annotations

import http.client
import ssl
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from collector.spool.cursor import Mark, read_cursor
from fusebox.config import Config
from fusebox.errors import StoreUnavailable
from fusebox.http_address import connection_to
from fusebox.rundir import lookup
from fusebox.store import open_store

ROLES: Final = ("redis", "receive", "keep", "watch", "gateway", "dashboard")
NEEDED: Final = ("receive", "keep", "watch")
_TIMEOUT_S: Final = 3.0
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Standing:
    """One role. ``state`` is ``up``, ``failing`` (it runs and complains), ``down`` or ``absent`` (nobody wants it)."""

    role: str
    state: str
    url: str = ""
    detail: str = ""

    @property
    def bad(self) -> bool:
        """True when somebody should look."""
        return self.state in ("failing", "down")


def standings(config: Config) -> list[Standing]:
    """Every role of the data folder."""
    return [_standing(config, role) for role in ROLES]


def lag(config: Config) -> int:
    """Records in the spool that *keep* has not stored yet."""
    folder = config.data_dir / "spool"
    mark = Mark(folder)
    try:
        return max(0, mark.read() - read_cursor(folder, "keep"))
    finally:
        mark.close()


def get(url: str, path: str, *, believed: bool = True) -> tuple[int, str, str]:
    """Status, first 500 characters of the body, and the ``Date`` header of a GET.

    Args:
        believed: only a server whose certificate is.

    Raises:
        OSError: nobody answers.
    """
    parts = urlsplit(url)
    connection = connection_to(parts, _TIMEOUT_S) if believed or parts.scheme == "http" else _to_anybody(parts)
    try:
        connection.request("GET", parts.path.rstrip("/") + path)
        answer = connection.getresponse()
        text = answer.read(500).decode("utf-8", "replace").strip()
        return answer.status, text, answer.getheader("date") or ""
    except http.client.HTTPException as error:
        raise ConnectionError(repr(error)) from error
    finally:
        connection.close()


def _to_anybody(url: SplitResult) -> http.client.HTTPConnection:
    """Nothing secret is sent, and nothing believed but that somebody answers: a certificate need not be known here."""
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(
        url.hostname or "", url.port or http.client.HTTPS_PORT, timeout=_TIMEOUT_S, context=anybody
    )


def _standing(config: Config, role: str) -> Standing:
    info = lookup(config.data_dir, role)
    if info is None:
        died = (config.data_dir / "run" / f"{role}.json").exists()
        missing = died or role in NEEDED
        fix = f"see {config.data_dir}/{role}.log" if died else "start it with 'fusebox up'" if missing else ""
        return Standing(role, "down" if missing else "absent", detail=fix)
    url = str(info.get("url", ""))
    trouble = _redis(url) if role == "redis" else _http(role, url)
    return Standing(role, "failing" if trouble else "up", url, trouble)


def _redis(url: str) -> str:
    with closing(open_store(url)) as store:
        try:
            store.ping()
        except StoreUnavailable as error:
            return str(error)
    return ""


def _http(role: str, url: str) -> str:
    path = "/_stcore/health" if role == "dashboard" else "/healthz"
    try:
        status, text, _ = get(url, path, believed=False)
    except OSError as error:
        return f"{url} does not answer: {error}"
    return "" if status == _OK else text
