"""Body: what all requests to the control API have in common. Unknown fields, and anything oversized, are refused."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from collector.watch.refusal import BAD_REQUEST, Refusal
from fusebox.command import agent_scope, names_someone
from fusebox.registry import AGENT_ID

_PREFIX = agent_scope("")
_OURS = "Value error, "
"""What pydantic puts before a sentence of ours."""


def _agent(text: str) -> str:
    if not AGENT_ID.fullmatch(text):
        raise ValueError(f"an agent id must match {AGENT_ID.pattern}")
    return text


def _scope(text: str) -> str:
    bad_agent = text.startswith(_PREFIX) and not AGENT_ID.fullmatch(text.removeprefix(_PREFIX))
    if not names_someone(text) or not text.isprintable() or bad_agent:
        forms = "'all', 'agent:<agent id>', 'tenant:<name>', 'workflow:<id>' or 'tool:<name>'"
        raise ValueError(f"scope is {forms}, and not {text[:80]!r}")
    return text


AgentId = Annotated[str, AfterValidator(_agent)]
Scope = Annotated[str, AfterValidator(_scope)]
Id = Annotated[str, StringConstraints(pattern=rf"^{AGENT_ID.pattern}$")]
Text = Annotated[str, StringConstraints(max_length=2000)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=32_503_680_000)]
"""Unix seconds up to the year 3000: what every reader of the journal can turn into a date."""
AlertId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
"""Becomes part of a webhook's id, whose alphabet is this."""
Trace = Annotated[str, StringConstraints(max_length=64)]
ApprovalId = Annotated[str, StringConstraints(pattern=r"^apr_[0-9a-f]{16}$")]
Whole = Annotated[int, Field(ge=0, le=1 << 53)]
"""A count that every reader of JSON, and every sum of ours, can hold."""


class Body(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


B = TypeVar("B", bound=Body)


def parse(kind: type[B], data: Any) -> B:
    """Read a decoded body.

    Raises:
        Refusal: it has another shape; the text names each field that is wrong.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Refusal(BAD_REQUEST, _explain(error)) from error


def _explain(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:5]
    said = (f"{'.'.join(str(part) for part in e['loc']) or 'body'}: {e['msg'].removeprefix(_OURS)}" for e in found)
    return "; ".join(each[:200] for each in said)
