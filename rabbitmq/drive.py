"""``fusebox drive``: play a recording through real agents."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from fusebox.clock import SystemClock, system_clock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError, ControlUnavailable
from rabbitmq.driver import Driver
from rabbitmq.recording import Recorded, read_recording
from rabbitmq.runtime import Runtime

_SETTLE_S = 60.0
_SKEW_S = 10.0


class DriveVerb:
    """Plays recorded agent traffic."""

    help = "play recorded agent traffic through real agents over the bus"
    description = """Play recorded agent traffic (JSON Lines, .gz or not) through real agents over the bus.

Every window of every detector sees a clock that runs N times faster, live ones too, so start the collector with the
same speed:

  FUSEBOX_CLOCK_SPEED=60 fusebox up
  FUSEBOX_CLOCK_SPEED=60 fusebox drive events.jsonl.gz --stream s000

The summary says what became of every event: carried out (one row in agent_events each) or denied (held, or waiting
behind an open circuit), and which agents tripped."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", type=Path, help="events, one JSON object a line")
        parser.add_argument("--stream", help="play only the events of this stream")
        parser.add_argument("--limit", type=int, help="play only the first N events")
        parser.add_argument("--speed", type=float, help="N times faster (default: FUSEBOX_CLOCK_SPEED, else 1)")
        parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        clock = system_clock() if args.speed is None else SystemClock(args.speed)
        recorded = list(read_recording(args.file, args.stream))[: args.limit]
        if not recorded:
            raise ConfigError(f"{args.file} has no events" + (f" of stream {args.stream}" if args.stream else ""))
        control = _control(config, clock)
        runtime = Runtime.from_config(config, name="fusebox-drive", clock=clock)
        try:
            summary = _play(runtime, [event for event, _ in recorded], args.json)
        finally:
            runtime.stop()
        summary["trips"] = sorted({t["agent"] for t in control.board()["trips"]}) if control else []
        summary["incidents"] = _incidents(recorded, set(summary["trips"]))
        _show(summary, args.json)
        return 0 if summary["allowed"] + summary["denied"] == summary["sent"] else 1


def _play(runtime: Runtime, events: list[Recorded], quiet: bool) -> dict[str, Any]:
    with Progress(console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("playing", total=len(events))
        driver = Driver(runtime, events, lambda done: bar.update(task, completed=done))
        driver.start()
        driver.play()
    deadline = time.monotonic() + _SETTLE_S
    while not driver.settled() and time.monotonic() < deadline:
        time.sleep(0.1)
    for agent in driver.agents.values():
        agent.stop()
    runtime.telemetry.flush(30.0)
    allowed = driver.tally.allowed
    return {
        "sent": driver.tally.sent,
        "allowed": sum(allowed.values()),
        "denied": sum(driver.waiting().values()),
        "repeated": sum(n - 1 for n in allowed.values()),
        "agents": len(driver.agents),
        "spans_undelivered": runtime.telemetry.pending,
    }


def _control(config: Config, clock: SystemClock) -> ControlClient | None:
    """The running watch, checked to run at our speed; None when there is none."""
    try:
        control = ControlClient.local(config)
        skew = abs(control.board()["time"] - clock.now())
    except ControlUnavailable:
        return None
    if skew > _SKEW_S * max(1.0, clock.speed):
        raise ConfigError(
            f"watch's clock is {skew:.0f} s away from ours: start 'fusebox up' with FUSEBOX_CLOCK_SPEED={clock.speed:g}"
        )
    return control


def _incidents(recorded: list[tuple[Recorded, str]], tripped: set[str]) -> dict[str, int]:
    """How many labelled loops (incident ids with an ``-L``) had one of their agents tripped."""
    agents: dict[str, set[str]] = {}
    for event, incident in recorded:
        if "-L" in incident:
            agents.setdefault(incident, set()).add(event.agent)
    return {"labelled": len(agents), "tripped": sum(bool(names & tripped) for names in agents.values())}


def _show(summary: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print(json.dumps(summary))
        return
    for key, value in summary.items():
        print(f"{key.replace('_', ' '):>18}  {value}")


verb = DriveVerb()
