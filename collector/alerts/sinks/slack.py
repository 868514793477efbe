"""Slack: blocks with the evidence, and buttons that lead to the control API's confirmation pages.

A button only opens a page: an operator logs in there, reads what will happen and confirms it, by POST. Whoever can
read the channel, and every program that looks at links beforehand, can do no more than look.
"""

from __future__ import annotations

import json
from typing import Any, Final
from urllib.parse import quote

from collector.alerts.alert import APPROVAL_ASKED, CIRCUIT_OPENED, Alert
from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Outcome
from collector.alerts.sinks.http import Poster
from collector.alerts.text import Templates, evidence, plain
from fusebox.command import agent_scope

_MAX_TEXT: Final = 2_900
_MAX_LINE: Final = 500
"""Characters; escaped they are five times as many at most."""
_MAX_HEADER: Final = 150
_PAGES: Final = {CIRCUIT_OPENED: "Incident", APPROVAL_ASKED: "Answer…"}
_MARKS: Final = {"critical": ":red_circle:", "warning": ":large_orange_circle:", "info": ":white_circle:"}

Block = dict[str, Any]


class SlackSink:
    """Posts to an incoming webhook.

    Args:
        control: where people reach the control API; no buttons without.
    """

    def __init__(self, name: str, poster: Poster, templates: Templates, control: str = "") -> None:
        self.name, self._poster, self._templates, self._control = name, poster, templates, control.rstrip("/")

    def deliver(self, parcel: Parcel) -> Outcome:
        message: dict[str, Any] = {"unfurl_links": False, "unfurl_media": False, "blocks": self._blocks(parcel)}
        message["text"] = escaped(self._templates.subject_of(parcel))
        return self._poster.post(json.dumps(message).encode(), {"content-type": "application/json"})

    def close(self) -> None:
        return

    def _blocks(self, parcel: Parcel) -> list[Block]:
        subject = f"{_MARKS[parcel.severity]} {self._templates.subject_of(parcel)}"
        blocks: list[Block] = [
            {"type": "header", "text": {"type": "plain_text", "text": subject[:_MAX_HEADER], "emoji": True}},
            *map(_section, _chunks(self._templates.text_of(parcel))),
        ]
        if len(parcel.alerts) > 1:
            return blocks
        alert = parcel.alerts[0]
        context = [{"type": "plain_text", "text": f"{parcel.id} {evidence(alert)}"[:_MAX_TEXT], "emoji": False}]
        buttons = self._buttons(alert)
        return [*blocks, {"type": "context", "elements": context}, *([_actions(buttons)] if buttons else [])]

    def _buttons(self, alert: Alert) -> list[Block]:
        buttons = [_button(_PAGES.get(alert.type, "Look"), alert.incident)] if alert.incident else []
        if not (alert.agent and self._control):
            return buttons
        for order, style in (("resume", "primary"), ("kill", "danger")):
            url = f"{self._control}/confirm/{order}?scope={quote(agent_scope(alert.agent), safe='')}"
            buttons.append(_button(f"{order.title()}…", url) | {"style": style})
        return buttons


def escaped(text: str) -> str:
    """Text that Slack shows as it is: no mention, no link, no channel can be made of what an agent wrote."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _chunks(text: str) -> list[str]:
    """The text as Slack shows it as it is, in parts that fit into a block; a line is broken, and nothing left out."""
    chunks = [""]
    for line in text.splitlines():
        for start in range(0, max(1, len(line)), _MAX_LINE):
            piece = escaped(line[start : start + _MAX_LINE]).replace("```", "` ` `")
            if len(chunks[-1]) + len(piece) >= _MAX_TEXT:
                chunks.append("")
            chunks[-1] += f"{piece}\n"
    return chunks


def _section(text: str) -> Block:
    return {"type": "section", "text": {"type": "mrkdwn", "text": f"```{text}```", "verbatim": True}}


def _actions(buttons: list[Block]) -> Block:
    return {"type": "actions", "elements": buttons}


def _button(label: str, url: str) -> Block:
    return {"type": "button", "text": {"type": "plain_text", "text": plain(label)}, "url": url}
