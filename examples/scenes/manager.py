"""The manager: a person who is asked before anything is ordered, and answers by signed webhook or in an interface."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from collector.approvers import Approvers
from collector.tokens import Tokens
from examples.demo_stage import until
from examples.web import Json, post_bytes
from fusebox import webhooks
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ControlUnavailable, FuseboxError
from fusebox.rundir import url_of

MANAGER: Final = "dana"
_POLL_S: Final = 0.1
_ASKED_S: Final = 40.0


class Manager:
    """An operator with a token, and with a key that signs.

    Args:
        config: of the installation; *watch* need not run for long stretches.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._token = Tokens(config.data_dir / "operators.json").add(MANAGER)
        self._private, public = webhooks.new_key_pair()
        Approvers(config.data_dir).add(MANAGER, public)

    def asked(self, word: str) -> Json:
        """The approval that waits and in whose arguments ``word`` stands, once there is one.

        Raises:
            TooSlow: nobody asks.
        """
        return until(lambda: self._waiting(word), f"somebody is asked about {word}", _ASKED_S)

    def webhook(self, approval: Json, *, approve: bool, reason: str = "read it") -> tuple[bytes, dict[str, str]]:
        """A signed answer, ready to be posted."""
        data = {"approval": approval["id"], "digest": approval["digest"], "approve": approve, "reason": reason}
        body = json.dumps({"type": "approval.answered", "data": data}).encode()
        now = int(SystemClock().wall())
        return body, webhooks.signed_headers(self._private, f"msg_{os.urandom(8).hex()}", now, body)

    def post(self, webhook: tuple[bytes, dict[str, str]]) -> tuple[int, Json]:
        """Post it; status and answer of *watch*."""
        return post_bytes(f"{self._url}/v1/approvals/webhook", *webhook)

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Agree to all that is asked meanwhile, whenever *watch* is there to be told."""
        over = threading.Event()
        thread = threading.Thread(target=self._agree, args=(over,), name="manager", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _agree(self, over: threading.Event) -> None:
        while not over.wait(_POLL_S):
            with suppress(FuseboxError):  # it is away for a moment: that is what scenes are about
                for row in self._pending():
                    self.client.answer(row["id"], row["digest"], True, "as agreed")

    def _pending(self) -> list[Json]:
        return [row for row in self.client.approvals()["approvals"] if row["stage"] == "pending"]

    def _waiting(self, word: str) -> Json | None:
        shown = (self.client.approval(row["id"]) for row in self._pending())
        return next((each for each in shown if word in each["request"]["arguments"]), None)

    @property
    def client(self) -> ControlClient:
        """The manager's way to *watch*.

        Raises:
            ControlUnavailable: it does not run just now.
        """
        return ControlClient(self._url, self._token)

    @property
    def _url(self) -> str:
        url = url_of(self._config, "watch", "control_url")
        if url is None:
            raise ControlUnavailable("watch does not run just now")
        return url
