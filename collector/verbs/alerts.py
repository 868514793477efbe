"""``fusebox alerts``: what people were told, and what they say to it."""

from __future__ import annotations

import argparse
import json
import re
import time
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from collector.verbs.since import utc
from fusebox import terminal
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError

Json = dict[str, Any]
_FOR: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLOURS: Final = {"critical": "bold red", "warning": "yellow", "info": "dim"}
_LISTS: Final = ("agents", "teams", "severities", "types")


def seconds(text: str) -> float:
    """A duration, for ``add_argument(type=seconds)``."""
    found = _FOR.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 90s, 30m, 2h or 7d")
    return float(found[1]) * _SECONDS[found[2]]


class AlertsVerb:
    """Shows alerts, tests sinks, silences and acknowledges."""

    help = "alerts: what was told and to whom; test, silence, acknowledge"
    description = """What people were told, and what became of it.

  fusebox alerts list
  fusebox alerts list --undelivered --json
  fusebox alerts test
  fusebox alerts test --sink pager
  fusebox alerts silence --agent 'batch-*' --for 2h --reason "load test"
  fusebox alerts silence --end sil_1f0c --reason "done"
  fusebox alerts ack alert_trn_1f0c --reason "looking at it"

A silenced alert is still in alerts.log and in the list. An acknowledged one is sent nowhere any more. 'test' says what
each sink answered, and revives one that was disabled. Exit status of 'test': 0 when every sink took it, else 1; of
'list': 1 when an alert reached nobody."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        listing = actions.add_parser("list", help="the newest alerts, silences and sinks")
        listing.add_argument("--undelivered", action="store_true", help="only alerts that reached nobody")
        test = actions.add_parser("test", help="send a test alert past all rules")
        test.add_argument("--sink", default="", metavar="NAME", help="only to this one")
        _configure_silence(actions.add_parser("silence", help="keep alerts from people for a while"))
        ack = actions.add_parser("ack", help="take care of an alert")
        ack.add_argument("alert", help="its id")
        ack.add_argument("--reason", required=True, help="recorded with your name")
        for action in actions.choices.values():
            action.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        client = ControlClient.local(config)
        action = {"list": _list, "test": _test, "silence": _silence, "ack": _ack}[args.action]
        return action(client, args)


def _configure_silence(parser: argparse.ArgumentParser) -> None:
    for name, one, what in (
        ("agents", "--agent", "agent ids, with * and ?"), ("teams", "--team", "teams of the registry"),
        ("severities", "--severity", "critical, warning or info"), ("types", "--type", "types of alerts, with * and ?"),
    ):  # fmt: skip
        parser.add_argument(one, action="append", default=[], dest=name, metavar="NAME", help=f"{what}; repeatable")
    parser.add_argument("--for", type=seconds, dest="seconds", metavar="2h", help="how long: 90s, 30m, 2h, 7d")
    parser.add_argument("--end", metavar="ID", help="end this silence instead")
    parser.add_argument("--reason", required=True, help="recorded with your name")


def _list(client: ControlClient, args: argparse.Namespace) -> int:
    told = client.alerts()
    if args.undelivered:
        told["alerts"] = [alert for alert in told["alerts"] if alert["undelivered"]]
    if args.json:
        print(json.dumps(told))
    else:
        _show(terminal.console(), told)
    return 1 if told["undelivered"] else 0


def _show(console: Console, told: Json) -> None:
    for alert in told["alerts"]:
        _show_alert(console, alert)
    if not told["alerts"]:
        console.print("no alerts")
    for silence in told["silences"]:
        match = "; ".join(f"{name} {', '.join(values)}" for name, values in silence["match"].items())
        console.print(_line(f"silence {silence['id']} until {utc(silence['until'])}: {match} ({silence['reason']})"))
    sinks = ", ".join(f"{name} {state}" for name, state in told["sinks"].items())
    console.print(f"sinks: {escape(sinks)}")
    if told["undelivered"]:
        console.print(f"[bold red]{len(told['undelivered'])} alerts reached nobody[/]: fusebox alerts test")


def _line(text: str) -> str:
    """What others wrote, on one line: a second one could pass for another alert."""
    return escape(terminal.plain(text))


def _show_alert(console: Console, alert: Json) -> None:
    """Three lines that read at any width; the id stands alone, to be copied."""
    when, colour = alert["timestamp"][:19].replace("T", " "), _COLOURS[alert["severity"]]
    console.print(f"{when}  [{colour}]{alert['severity']}[/]  {alert['type']}  [bold]{_line(alert['agent'])}[/]")
    for line in (_line(alert["reason"]), f"{alert['id']}  {_fates(alert)}"):
        console.print(Padding(line, (0, 0, 0, 2), expand=False))


def _fates(alert: Json) -> str:
    if alert["acknowledged"]:
        return _line(f"acknowledged by {alert['acknowledged']['by']}")
    if alert["muted"]:
        return _line(alert["muted"])
    fates = escape(", ".join(f"{name} {fate}" for name, fate in alert["sinks"].items()))
    return f"[bold red]nobody[/]: {fates}" if alert["undelivered"] else fates


def _test(client: ControlClient, args: argparse.Namespace) -> int:
    answer = client.test_alert(args.sink)
    taken = {name: each["fate"] == "delivered" for name, each in answer["sinks"].items()}
    if args.json:
        print(json.dumps(answer))
    else:
        for name, each in answer["sinks"].items():
            mark = "[green]✓[/]" if taken[name] else "[bold red]✗[/]"
            terminal.console().print(f"{mark} {escape(name)}: {each['fate']} {_line(each['detail'])}")
    return 0 if all(taken.values()) else 1


def _silence(client: ControlClient, args: argparse.Namespace) -> int:
    match = {name: values for name in _LISTS if (values := getattr(args, name))}
    if bool(args.end) == bool(args.seconds) or (args.end and match):
        raise ConfigError("say what to silence and --for how long, or --end ID")
    if args.end:
        answer = client.unsilence(args.end, args.reason)
        said = f"{args.end} is over"
    else:
        answer = client.silence(match, args.seconds, args.reason)
        said = f"{answer['silence']}: silent for {answer['until'] - time.time():.0f} s, until {utc(answer['until'])}"
    print(json.dumps(answer) if args.json else said)
    return 0


def _ack(client: ControlClient, args: argparse.Namespace) -> int:
    answer = client.acknowledge(args.alert, args.reason)
    withdrawn = ", ".join(answer["withdrawn"])
    said = f"{args.alert} is yours" + (f"; no longer sent to {withdrawn}" if withdrawn else "")
    print(json.dumps(answer) if args.json else said)
    return 0


verb = AlertsVerb()
