"""Reads events in the common form of loop data sets: JSON Lines, plain or gzip, one event a line.

Fields that are read, all but ``agent`` and ``operation`` optional: ``ts`` (seconds), ``stream``, ``session``, ``seq``,
``trace``, ``parent``, ``agent``, ``operation``, ``target``, ``payload`` and ``payload_len`` (the payload may be cut),
``payload_sha``, ``result_head``, ``result_len``, ``result_sha``, ``input_tokens``, ``output_tokens``, ``cost_usd``,
``latency_ms``, ``status`` (``ok`` or ``error``). What says how an event is to be judged (:data:`HINDSIGHT`) is dropped
before anything else looks at it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, cast

from fusebox.errors import FuseboxError
from fusebox.fingerprint import (
    NOTHING,
    SILENCE,
    error_hash,
    exact_hash,
    hash64,
    is_waiting,
    literal_hash,
    normalise,
    result_hash,
)  # fmt: skip
from fusebox.records import ActionKind, Event
from fusebox.simhash import simhash

HINDSIGHT: Final = ("label", "kind", "incident", "dataset", "trajectory", "group")
_MODEL: Final = frozenset({"llm_call", "model_call", "completion", "generate", "inference", "llm"})
_TALK: Final = frozenset({"chat", "say", "message", "publish", "send_message", "reply", "thought", "think"})
_ACTIONS: Final = {kind.value: kind for kind in ActionKind}
_LENGTH_STEP: Final = 16


class EventsError(FuseboxError):
    """A file of events cannot be read; the text names the line."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event, and where it stands in its file."""

    run: str
    """Stream and session: events of different runs know nothing of each other."""
    stream: str | None
    session: str | None
    seq: int | None
    trace: str | None
    """The trace as the line has it; the Event falls back on the session."""
    event: Event


def read(path: Path) -> Iterator[Happened]:
    """The events of a file, in the file's order.

    Raises:
        EventsError: the file is missing or a line is no event.
    """
    try:
        with _open(path) as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield _parse(path, number, line)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise EventsError(f"{path}: {error}") from error


def happened(row: dict[str, Any]) -> Happened:
    """One event from its fields; hindsight is dropped unseen."""
    row = {key: value for key, value in row.items() if key not in HINDSIGHT}
    stream, session, seq = row.get("stream"), row.get("session"), row.get("seq")
    return Happened(f"{stream}\x00{session}", stream, session, seq, row.get("trace"), event(row))


def event(row: dict[str, Any]) -> Event:
    """The Event that the fields describe."""
    operation, target = str(row["operation"]), str(row.get("target") or "")
    payload, told = str(row.get("payload") or ""), str(row.get("result_head") or "")
    ok = row.get("status", "ok") in ("ok", "", None)
    request, request_exact = _request(row, operation, target, payload)
    result, result_exact = _result(row, told, ok)
    action = _action(operation, target, bool(result))
    latency = float(row.get("latency_ms") or 0.0) / 1000
    return Event(
        time=float(row.get("ts") or 0.0),
        agent=str(row["agent"]),
        action=action,
        operation=operation,
        target=target,
        request=request,
        request_exact=request_exact,
        simhash=simhash(payload),
        result=result,
        result_exact=result_exact,
        waiting=ok and is_waiting(told),
        ok=ok,
        error_type="" if ok else "error",
        input_tokens=int(row.get("input_tokens") or 0),
        output_tokens=int(row.get("output_tokens") or 0),
        cost=float(row.get("cost_usd") or 0.0),
        duration=latency,
        trace_id=str(row.get("trace") or row.get("session") or ""),
        span_id=str(row.get("seq", "")),
        parent_id=str(row.get("parent") or ""),
    )


def _open(path: Path) -> IO[str]:
    with path.open("rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return cast(IO[str], gzip.open(path, "rt", encoding="utf-8")) if packed else path.open(encoding="utf-8")


def _parse(path: Path, number: int, line: str) -> Happened:
    try:
        return happened(json.loads(line))
    except KeyError as error:
        raise EventsError(f"{path}:{number}: the event has no {error}") from error
    except (ValueError, TypeError, AttributeError) as error:
        raise EventsError(f"{path}:{number}: no event: {error}") from error


def _action(operation: str, target: str, answered: bool) -> ActionKind:
    """What is said to somebody and has no result is a publish; ``chat`` with an answer is a model call."""
    name = operation.lower()
    if name in _ACTIONS:
        return _ACTIONS[name]
    if name in _MODEL or (name == "chat" and answered and target in ("", "model")):
        return ActionKind.MODEL_CALL
    return ActionKind.PUBLISH if name in _TALK and not answered else ActionKind.TOOL_CALL


def _request(row: dict[str, Any], operation: str, target: str, payload: str) -> tuple[int, int]:
    """Of a payload that was cut the whole's length counts too: many prompts begin alike."""
    length = int(row.get("payload_len") or len(payload))
    rest = f"\x00{length // _LENGTH_STEP}" if length > len(payload) else ""
    sha = str(row.get("payload_sha") or "") if rest else ""
    bound = f"{operation}\x00{target}\x00"
    return hash64(f"{bound}{normalise(payload)}{rest}"), literal_hash(payload) ^ (hash64(sha) if sha else 0)


def _result(row: dict[str, Any], told: str, ok: bool) -> tuple[int, int]:
    """An error is known by its beginning. A call's result may be known to be empty; what was said has none yet."""
    length = int(row.get("result_len") or len(told))
    if not length:
        talk = str(row["operation"]).lower() in _TALK
        return (0, 0) if talk else (NOTHING, SILENCE)
    if not ok:
        return error_hash("error", told), exact_hash(told)
    if length <= len(told):
        return result_hash(told), exact_hash(told)
    whole = hash64(str(row.get("result_sha") or f"{told}{length}"))
    return whole, whole
