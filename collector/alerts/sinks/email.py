"""E-mail by SMTP, over TLS."""

from __future__ import annotations

import logging
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import formatdate
from typing import Any, Final, Literal

from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from collector.alerts.sinks.http import TIMEOUT_S
from collector.alerts.text import Templates
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.config import LOOPBACK
from fusebox.deadline import deadline
from fusebox.errors import ConfigError
from fusebox.tls import advised

_TRANSIENT: Final = range(400, 500)

NOT_ALL: Final = happenings.declare(
    "alert_recipient_refused", logging.ERROR, "a mail server took an alert for some of its recipients only"
)


class _Greeted(smtplib.SMTP):
    """Is connected, which takes a greeting, within the time that a session has."""

    def connect(self, host: str = "localhost", port: int = 0, source_address: Any = None) -> tuple[int, bytes]:
        with deadline(lambda: self.sock, TIMEOUT_S):
            return super().connect(host, port, source_address)


class _GreetedOverTls(_Greeted, smtplib.SMTP_SSL):
    """The same, with TLS from the first byte."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server.

    Args:
        tls: ``starttls``, ``implicit`` (TLS from the first byte), or ``none`` on this machine only.
        user: log in with it; nobody by default.
        context: whom to trust; the machine's certificates by default.

    Raises:
        ConfigError: it would carry alerts (or the password) over a network in the clear.
    """

    host: str
    port: int = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    user: str = ""
    password: str = ""
    context: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        if self.tls == "none" and self.host not in LOOPBACK:
            raise ConfigError(f'{self.host} is another machine: tls = "none" is for this one; use starttls or implicit')

    @contextmanager
    def session(self) -> Iterator[smtplib.SMTP]:
        """A connection that is logged in.

        Raises:
            OSError, smtplib.SMTPException: there is none.
        """
        context = self.context or ssl.create_default_context()
        implicit = self.tls == "implicit"
        smtp = (
            _GreetedOverTls(self.host, self.port, timeout=TIMEOUT_S, context=context)
            if implicit
            else _Greeted(self.host, self.port, timeout=TIMEOUT_S)
        )
        try:
            with deadline(lambda: smtp.sock, TIMEOUT_S):  # STARTTLS puts another in its place
                if self.tls == "starttls":
                    smtp.starttls(context=context)
                if self.user:
                    smtp.login(self.user, self.password)
                yield smtp
                with suppress(OSError, smtplib.SMTPException):  # what was taken is taken, however it says goodbye
                    smtp.quit()
        finally:
            smtp.close()


class EmailSink:
    """Mails each parcel, as plain text.

    Args:
        sender: the From address.
        to: recipients.
    """

    def __init__(
        self, name: str, server: Server, sender: str, to: tuple[str, ...], templates: Templates, clock: Clock
    ) -> None:
        self.name, self._server, self._sender, self._to = name, server, sender, to
        self._templates, self._clock = templates, clock

    def deliver(self, parcel: Parcel) -> Outcome:
        try:
            with self._server.session() as smtp:
                refused = smtp.send_message(self._message(parcel), self._sender, self._to)
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _ in error.recipients.values()]
            return _judge(min(codes, default=500), f"no recipient was taken: {sorted(error.recipients)}")
        except smtplib.SMTPResponseException as error:
            return _judge(error.smtp_code, repr(error))
        except (OSError, smtplib.SMTPException, ValueError) as error:
            return Outcome(Fate.RETRY, advised(repr(error)))
        if refused:
            happenings.emit(NOT_ALL, sink=self.name, alert=parcel.id, recipients=sorted(refused))
        return Outcome(Fate.DELIVERED, f"taken for {len(self._to) - len(refused)} of {len(self._to)} recipients")

    def close(self) -> None:
        return

    def _message(self, parcel: Parcel) -> EmailMessage:
        message = EmailMessage()
        message["Subject"] = self._templates.subject_of(parcel)
        message["From"], message["To"] = self._sender, ", ".join(self._to)
        message["Date"] = formatdate(self._clock.wall())
        message["Message-ID"] = f"<{parcel.id}@{self._sender.rpartition('@')[2]}>"  # the same on every retry
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self._templates.text_of(parcel))
        return message


def _judge(code: int, detail: str) -> Outcome:
    return Outcome(Fate.RETRY if code in _TRANSIENT else Fate.REFUSED, detail)
