"""Draws the import table of :mod:`tools.layers` as a Mermaid diagram."""

from __future__ import annotations

from tools.layers import ALLOWED


def diagram() -> str:
    """The diagram's lines: one arrow for each import that no longer way already says."""
    arrows = [f"  {source} --> {target}" for source in ALLOWED for target in ALLOWED[source] if _direct(source, target)]
    return "\n".join(["```mermaid", "flowchart RL", *arrows, "```"])


def _direct(source: str, target: str) -> bool:
    return not any(target in ALLOWED[middle] for middle in ALLOWED[source])
