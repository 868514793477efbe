"""Any of the hundred-odd services of the ``apprise`` library, by URL. The library is loaded when such a sink is made.

It speaks for itself, so our guard of addresses cannot stand before it: redirects are turned off, and its schemes that
post to any address (``json``, ``xml``, ``form``) are refused; a sink of type ``webhook`` does that with the guard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collector.alerts.alert import Severity
from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from collector.alerts.sinks.http import TIMEOUT_S
from collector.alerts.text import Templates
from fusebox.errors import ConfigError

if TYPE_CHECKING:
    from apprise import Apprise

_ANYWHERE: Final = frozenset({"json", "jsons", "xml", "xmls", "form", "forms"})
_KINDS: Final = {Severity.CRITICAL: "failure", Severity.WARNING: "warning", Severity.INFO: "info"}


class AppriseSink:
    """Notifies by one apprise URL.

    Raises:
        ConfigError: apprise is not installed, does not know the URL, or the URL posts anywhere.
    """

    def __init__(self, name: str, url: str, templates: Templates) -> None:
        self.name, self._templates = name, templates
        self._service = _service(url)

    def deliver(self, parcel: Parcel) -> Outcome:
        title, body = self._templates.subject_of(parcel), self._templates.text_of(parcel)
        try:
            done = self._service.notify(
                body, title, notify_type=_KINDS[parcel.severity], body_format="text", timeout=TIMEOUT_S
            )
        except Exception as error:  # any plugin of any author
            return Outcome(Fate.RETRY, repr(error))
        return Outcome(Fate.DELIVERED) if done else Outcome(Fate.RETRY, "the service did not take it; see watch.log")

    def close(self) -> None:
        return


def _service(url: str) -> Apprise:
    scheme = url.partition("://")[0].lower()
    if scheme in _ANYWHERE:
        raise ConfigError(f'{scheme}:// posts to any address; use type = "webhook", which guards it')
    try:
        from apprise import Apprise, AppriseAsset
    except ImportError as error:
        raise ConfigError("apprise is not installed; pip install 'agent-fusebox[apprise]'") from error
    service = Apprise(asset=AppriseAsset(http_redirects=False, app_id="Fusebox"))
    if not service.add(url):
        raise ConfigError(f"apprise knows no service for {scheme}://…; see its list of services")
    return service
