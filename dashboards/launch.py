"""How Streamlit is started: its command line and its environment.

The child gets an environment without any secret of Fusebox, and acts with the token that a person typed in. Its
working folder is the data folder, so that neither a ``fusebox.toml``, a ``.streamlit/`` nor a module beside the user's
script can change it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dashboards.oidc import OidcRules
from fusebox.clock import ORIGIN_ENV, SPEED_ENV
from fusebox.config import LOOPBACK, PREFIX, Config

APP: Final = Path(__file__).with_name("app.py")
_CLOCK: Final = frozenset({SPEED_ENV, ORIGIN_ENV})

INK: Final = {"light": "#23211f", "dark": "#eceae6"}
OPTIONS: Final = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.enableCORS": "true",
    "server.enableXsrfProtection": "true",
    "server.enableAgentApi": "false",
    "browser.gatherUsageStats": "false",
    "runner.magicEnabled": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "client.disableDataExport": "true",  # a spreadsheet would obey a formula that an agent wrote into a cell
    "theme.baseRadius": "0.6rem",
    "theme.metricValueFontSize": "1.6rem",
    "theme.light.primaryColor": "#b3261e",
    "theme.light.backgroundColor": "#fbfaf8",
    "theme.light.secondaryBackgroundColor": "#f0eeea",
    "theme.light.textColor": INK["light"],
    "theme.dark.primaryColor": "#d33d33",
    "theme.dark.backgroundColor": "#151619",
    "theme.dark.secondaryBackgroundColor": "#212329",
    "theme.dark.textColor": INK["dark"],
}
"""Streamlit's options that Fusebox fixes."""


def command(host: str, port: int, oidc: OidcRules | None = None, secrets: Path | None = None) -> list[str]:
    """The command line that runs the page. It answers to this machine's names, and to the one that ``oidc`` gives it.

    Args:
        secrets: where Streamlit finds what it must know of the provider.
    """
    flags = {**OPTIONS, "server.address": host, "server.port": str(port), "browser.serverAddress": local(host)}
    names = LOOPBACK | ({str(urlsplit(oidc.url).hostname)} if oidc and oidc.url else set())
    pairs = [*flags.items(), *(("server.allowedHosts", name) for name in sorted(names))]
    pairs += [("secrets.files", str(secrets.absolute()))] if oidc and secrets else []
    arguments = [part for name, value in pairs for part in (f"--{name}", value)]
    return [sys.executable, "-P", "-m", "dashboards.server", "run", str(APP), *arguments]


def environment(config: Config, inherited: Mapping[str, str]) -> dict[str, str]:
    """The child's variables: ours reduced to what the page reads, Streamlit's own left out."""
    kept = {k: v for k, v in inherited.items() if not k.startswith((PREFIX, "STREAMLIT_")) or k in _CLOCK}
    ours = {
        "DATA_DIR": str(config.data_dir.absolute()),
        "TENANT": config.tenant,
        "CONTROL_URL": config.control_url,
        "SQL_URL": config.sql_url,
        "OIDC_FILE": str(config.oidc_file.absolute()) if config.oidc_file else "",
    }
    return kept | {PREFIX + name: value for name, value in ours.items() if value}


def local(host: str) -> str:
    """The address under which this machine reaches what listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def authority(host: str, port: int) -> str:
    """The same as it stands in a URL."""
    name = local(host)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
