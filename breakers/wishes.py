"""Wishes: what a process asks of the board, as flat pairs of text. What becomes of each says :mod:`breakers.steps`."""

from __future__ import annotations

from typing import Final

from breakers.rows import Row, text
from breakers.settings import CircuitSettings
from fusebox.records import State, Transition, new_id

_TIMER: Final = "circuit"
"""Who does what nobody asked for."""
_MODES: Final = (State.DISABLED, State.OBSERVE_ONLY)


def trip(settings: CircuitSettings, reason: str, actor: str, *, finding: str = "", open_s: float | None = None) -> Row:
    """Open, for ``open_s`` seconds when given."""
    return _wish("trip", reason, actor, finding=finding, expect="", holder="") | {
        "open_s": text(open_s) if open_s else "",
        "base": text(settings.open_s),
        "growth": text(settings.growth),
        "max": text(settings.max_open_s),
    }


def trip_after_run(settings: CircuitSettings, reason: str, *, holder: str, version: int) -> Row:
    """Open, if the circuit is still where the failed run found it; after a probe, if that still holds its permit."""
    return trip(settings, reason, _TIMER) | ({"holder": holder} if holder else {"expect": str(version)})


def half_open(reason: str, actor: str) -> Row:
    """Let one probe through."""
    return _wish("half_open", reason, actor)


def reset(reason: str, actor: str) -> Row:
    """Close, and forgive the trips."""
    return _wish("reset", reason, actor)


def mode(mode: str, reason: str, actor: str) -> Row:
    """Change the mode."""
    return _wish("mode", reason, actor, mode=mode)


def probe(settings: CircuitSettings, holder: str) -> Row:
    """Give ``holder`` a permit."""
    return _permit("probe", settings, holder)


def renew(settings: CircuitSettings, holder: str) -> Row:
    """Have the permit last longer."""
    return _permit("renew", settings, holder)


def release(holder: str) -> Row:
    """Take the permit back: the probe proved nothing."""
    return {"kind": "release", "holder": holder}


def close(settings: CircuitSettings, holder: str) -> Row:
    """Close, if the probe still holds its permit."""
    return _wish("close", "the probe succeeded", _TIMER, holder=holder, probes=text(settings.probes))


def adopt(settings: CircuitSettings, transition: Transition) -> Row:
    """A transition as a wish; what concerns the latch (``forced_open``) leaves the circuit alone."""
    before, after = transition.before, transition.after
    own = {"kind": "adopt", "id": transition.id, "time": text(transition.time), "state": "", "mode": ""}
    if after in _MODES:
        own["mode"] = after.value
    elif State.FORCED_OPEN not in (before, after):
        own |= {"state": after.value, "mode": "normal" if before in _MODES else ""}
    finding = transition.finding.id if transition.finding else ""
    return trip(settings, transition.reason, transition.actor, finding=finding) | own


def _permit(kind: str, settings: CircuitSettings, holder: str) -> Row:
    lease, probes = text(settings.probe_lease_s), text(settings.probes)
    return _wish(kind, "the open time is over", _TIMER, holder=holder, lease_s=lease, probes=probes)


def _wish(kind: str, reason: str, actor: str, **more: str) -> Row:
    return {"kind": kind, "id": new_id("trn"), "reason": reason, "actor": actor, **more}
