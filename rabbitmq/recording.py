"""Recorded agent traffic: JSON Lines, one event a line, gzip or not.

Fields: ``ts`` (seconds), ``agent``, ``operation``, ``target``, ``payload``, ``result_head``, ``input_tokens``,
``output_tokens``, ``status`` (``ok`` or ``error``), optional ``stream`` and ``seq`` (else the line's number). What an
experimenter noted about the event (``label``, ``kind``, ``incident``, ``dataset``, ``trajectory``, ``group``) is kept
apart: agents and detectors never see it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fusebox.errors import BadMessage, ConfigError
from fusebox.toml_file import explain


class Recorded(BaseModel):
    """One recorded event, without labels."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    ts: float
    agent: str
    operation: str
    target: str = ""
    payload: str = ""
    result_head: str = ""
    input_tokens: int = Field(0, ge=0)
    output_tokens: int = Field(0, ge=0)
    status: str = "ok"
    stream: str = ""
    seq: int = 0


def read_recording(path: Path, stream: str | None = None) -> Iterator[tuple[Recorded, str]]:
    """Yield each event of ``path`` (of one stream, when given) and the incident it was labelled with, or ``""``.

    Raises:
        ConfigError: the file does not exist.
        BadMessage: a line is no event; names the line.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist; give a .jsonl or .jsonl.gz file of events")
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as lines:
        for number, line in enumerate(lines, 1):
            event, incident = _parse(line, path, number)
            if stream is None or event.stream == stream:
                yield event, incident


def _parse(line: str, path: Path, number: int) -> tuple[Recorded, str]:
    try:
        data = json.loads(line)
        return Recorded.model_validate({"seq": number, **data}), str(data.get("incident") or "")
    except ValidationError as error:
        raise BadMessage(f"{path}, line {number}: {explain(error)}") from error
    except (ValueError, TypeError) as error:
        raise BadMessage(f"{path}, line {number}: {error}") from error
