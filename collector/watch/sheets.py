"""Sheets: what a person confirms on a page, and what is done once they have. One for each kind of thing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from typing import Any, Final, Protocol

from starlette.responses import Response

from collector.watch import people_bodies
from collector.watch.approving import Approving
from collector.watch.body import parse
from collector.watch.markup import hidden, page, said, shown
from fusebox.spelled import exactly, readable
from governance.approvals.approval import Stage

_EFFECTS: Final = {
    "kill": "Nothing more goes out: messages, model calls and tool calls are refused at once, until somebody resumes.",
    "resume": "Its kills are lifted and its circuit lets one probe through; held messages follow when that goes well.",
}

Json = dict[str, Any]
Perform = Callable[[str, people_bodies.ScopeBody, str], Json]
"""``perform(operator, body, second operator)``; raises :class:`Refusal`."""


class Sheet(Protocol):
    """One kind of page."""

    def ask(self, scope: str, operator: str, word: str, complaint: str = "", status: int = 200) -> Response:
        """What will happen, and the form to confirm it with; ``word`` is the session's own."""

    def take(self, scope: str, operator: str, form: Mapping[str, str], second: str) -> Response:
        """Do it; ``second`` is an operator who agrees.

        Raises:
            Refusal: it is not done.
        """


class OrderSheet:
    """Kill or resume."""

    def __init__(self, order: str, perform: Perform) -> None:
        self._order, self._perform = order, perform

    def ask(self, scope: str, operator: str, word: str, complaint: str = "", status: int = 200) -> Response:
        second = (
            "<label for=second>Token of a second operator (for high-risk agents)</label>"
            "<input id=second name=second type=password autocomplete=off>"
            if self._order == "resume"
            else ""
        )
        return page(
            f"{self._order.title()} {scope}?",
            f"{said(complaint)}<p>{_EFFECTS[self._order]}</p>{_form(self._order, scope, word)}"
            f"{_reason(operator, 'autofocus')}{second}<button>{self._order.title()}</button></form>",
            status,
        )

    def take(self, scope: str, operator: str, form: Mapping[str, str], second: str) -> Response:
        body = parse(people_bodies.ScopeBody, {"scope": scope, "reason": form.get("reason", "")})
        answer = self._perform(operator, body, second)
        expected = len(answer["expected"])
        return page(
            f"{self._order.title()} ordered",
            f"<p><code>{escape(scope)}</code>: {expected} processes are to confirm it. 'fusebox status' and the board "
            f"show how it stands.</p><p>Command <code>{escape(str(answer['command']))}</code></p>",
        )


class ApprovalSheet:
    """An action that waits for people: all of it, and two buttons. The form answers what it shows and nothing else."""

    def __init__(self, approving: Approving) -> None:
        self._approving = approving

    def ask(self, scope: str, operator: str, word: str, complaint: str = "", status: int = 200) -> Response:
        row = self._approving.show(scope)
        request = row["request"]
        told = {
            "Agent": request["agent"], "Wants to": f"{request['kind']} {request['operation']}", "On": request["target"],
            "Because": f"{request['guard']}: {request['reason']}", "Takes": request["contract"],
            "Stands": f"{row['stage']}: {row['reason']}",
        }  # fmt: skip
        rows = "".join(f"<p>{name}: <code>{shown(exactly(text))}</code></p>" for name, text in told.items() if text)
        form = (
            f"{_form('approval', scope, word)}{hidden('digest', row['digest'])}{_reason(operator)}"
            "<button name=answer value=deny>Deny</button>"  # first: what the Enter key does must do no harm
            "<button name=answer value=approve>Approve</button></form>"
        )
        return page(
            "Approve this?" if row["stage"] == Stage.PENDING else f"This is {row['stage']}",
            f"{said(complaint)}{rows}<p>Arguments, all of them:</p><pre>{shown(readable(request['arguments']))}</pre>"
            f"{form if row['live'] else ''}",
            status,
        )

    def take(self, scope: str, operator: str, form: Mapping[str, str], second: str) -> Response:  # noqa: ARG002
        said_so = {"approve": True, "deny": False}.get(form.get("answer", ""))
        body = {"approval": scope, "digest": form.get("digest", ""), "reason": form.get("reason", "")}
        told = self._approving.answer(operator, parse(people_bodies.AnswerBody, {**body, "approve": said_so}), "page")
        return page(f"Now {told['stage']}", f"<p><code>{escape(told['approval'])}</code> {escape(told['reason'])}</p>")


def _form(kind: str, scope: str, word: str) -> str:
    return f"<form method=post action={kind}>{hidden('scope', scope)}{hidden('word', word)}"


def _reason(operator: str, focus: str = "") -> str:
    """The focus would move a phone past what is to be read before it."""
    return (
        f"<label for=reason>Reason, recorded with your name ({escape(operator)})</label>"
        f"<input id=reason name=reason maxlength=500 required {focus}>"
    )
