"""``fusebox demo``: a supply chain at work, a rogue agent, an open circuit. No services, no keys, no network."""

from __future__ import annotations

import argparse
import json
import signal
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.verbs.why import render
from examples import demo_incident, demo_people, demo_scene, demo_supply, demo_tamper
from examples.demo_screen import Screen
from examples.demo_settings import Options
from examples.demo_sql import Database, to_try
from examples.demo_stage import Stage, stage
from examples.demo_summary import Outcome
from examples.scenes.play import SCENES
from examples.scenes.stage import Endpoint
from fusebox.config import Config
from fusebox.errors import ConfigError
from rabbitmq.node import PrivateNode

_AUTO: Final = "auto"
_IN_PROCESS: Final = "in-process"
_RABBITMQ: Final = "rabbitmq"


@dataclass(frozen=True, slots=True)
class Broker:
    """Which broker carries the messages."""

    amqp_url: str | None = None
    private_node: bool = False


class DemoVerb:
    """Runs the scenarios of ``examples/`` on an installation of its own."""

    help = "see a rogue agent stopped, in a minute"
    description = """Plays a supply chain at work and the incident Fusebox exists for, live, on an installation of its
own: temporary data folder, free ports, models that cost nothing. Nothing of yours is touched.

  fusebox demo                      stays up until Ctrl-C, with the dashboard
  fusebox demo --exit --json        for machines: one object as the last line
  fusebox demo --broker in-process  all agents in one process, without RabbitMQ
  fusebox demo --tamper             only this: the audit log is edited, and 'fusebox audit verify' names the entry
  fusebox demo --scene injection    one scene on the whole supply chain: policy, context, sign-off, the gateway

scenes:
""" + "\n".join(f"  {name:18}{scene.about}" for name, scene in SCENES.items())

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--seed", type=int, default=7, help="varies texts, ids and delays (default: 7)")
        parser.add_argument("--unprotected", action="store_true", help="only the incident without protection")
        parser.add_argument("--tamper", action="store_true", help="only the audit log: edit it, and see it named")
        parser.add_argument("--scene", choices=tuple(SCENES), metavar="NAME", help="only this scene, see above")
        parser.add_argument(
            "--models-url", default="", metavar="URL",
            help="scenes: ask this endpoint that speaks OpenAI's API (…/v1) in place of the scripted models",
        )  # fmt: skip
        parser.add_argument("--models-key-env", default="", metavar="VAR", help="scenes: variable with its credential")
        parser.add_argument("--model", default="", metavar="NAME", help="scenes: the model that answers for all")
        parser.add_argument("--exit", action="store_true", help="end after the summary")
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        parser.add_argument(
            "--amqp-url", metavar="URL",
            help="use this RabbitMQ (or set FUSEBOX_AMQP_URL); queues named after the demo's agents are emptied",
        )  # fmt: skip
        parser.add_argument(
            "--broker", choices=(_AUTO, _IN_PROCESS, _RABBITMQ), default=_AUTO,
            help="auto: RabbitMQ when there is an address or rabbitmq-server is installed, else in this process",
        )  # fmt: skip
        parser.add_argument(
            "--inventory-url", default="", metavar="URL",
            help="keep the inventory in this PostgreSQL (postgresql://…), in a schema that is dropped at the end",
        )  # fmt: skip
        parser.add_argument("--data-dir", type=Path, metavar="DIR", help="an empty folder to use and keep")
        parser.add_argument("--keep-data", action="store_true", help="keep the temporary data folder")
        parser.add_argument("--no-dashboard", action="store_true", help="do not start the dashboard")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Play; 0 when the story held, else 1.

        Raises:
            FuseboxError: a part did not start, or did not answer in time.
        """
        broker = choose_broker(args.broker, args.amqp_url or config.secret("amqp_url"))
        options = Options(
            seed=args.seed, unprotected=args.unprotected, exit=args.exit, json=args.json,
            dashboard=not args.no_dashboard, data_dir=args.data_dir, keep_data=args.keep_data,
            inventory_url=args.inventory_url,
        )  # fmt: skip
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if args.tamper:
            return demo_tamper.play(options, Screen())
        if args.scene:
            endpoint = Endpoint(args.models_url, args.models_key_env, args.model)
            chosen = (options, broker.amqp_url, broker.private_node, endpoint)
            return demo_scene.run(args.scene, *chosen, Screen(), _stay)
        return _play(options, broker, Screen())


def choose_broker(wish: str, amqp_url: str | None) -> Broker:
    """What ``--broker`` means on this machine.

    Raises:
        ConfigError: RabbitMQ is asked for and there is none.
    """
    if wish == _IN_PROCESS:
        return Broker()
    if amqp_url:
        return Broker(amqp_url)
    if PrivateNode.available():
        return Broker(private_node=True)
    if wish == _RABBITMQ:
        raise ConfigError("--broker rabbitmq: give --amqp-url, or install rabbitmq-server")
    return Broker()


def _play(options: Options, broker: Broker, screen: Screen) -> int:
    screen.title("Fusebox: the fuse box for AI agents")
    with stage(options, broker.amqp_url, broker.private_node, screen.starting) as running:
        outcome = _acts(running, screen)
        failures = outcome.failures()
        _conclude(running, screen, outcome, failures)
        if not options.exit:
            _stay(screen)
    if options.json:
        screen.plain(json.dumps(outcome.json()))
    return 1 if failures else 0


def _acts(running: Stage, screen: Screen) -> Outcome:
    with closing(Database(running.config)) as database:
        if running.options.unprotected:
            twin = _twin(running, screen, 1)
            database.settle()
            return Outcome(database.totals(), twin)
        return _story(running, screen, database)


def _story(running: Stage, screen: Screen, database: Database) -> Outcome:
    screen.act(1, "The supply chain at work")
    demo_supply.play(running, screen)
    screen.act(2, "The incident: a helper and a label bot find each other")
    demo_incident.ordinary(running, screen)
    incident = demo_incident.protected(running, screen)
    screen.trip(_trip_lines(incident))
    database.settle()
    actions = database.actions_from_onset(incident)
    screen.act(3, "fusebox why: which prompt caused the last comment")
    screen.show(render(database.why_last_comment()))
    screen.act(4, "People: alert, kill, resume")
    response = demo_people.play(running, screen, incident)
    twin = _twin(running, screen, 5)
    database.settle()
    return Outcome(database.totals(), twin, incident, response, actions)


def _twin(running: Stage, screen: Screen, number: int) -> int:
    screen.act(number, "The same without protection (eight times faster)")
    return demo_incident.unprotected(running, screen)


def _trip_lines(incident: demo_incident.Incident) -> list[str]:
    if not incident.trip:
        return [f"nothing tripped; {incident.comments} comments"]
    return [
        f"{incident.agent} stopped by the detector '{incident.detector}': {incident.trip['reason']}",
        f"{incident.comments} comments on {incident.ticket}, {incident.seconds:.1f} s from onset; "
        f"{incident.held} messages are held",
    ]


def _conclude(running: Stage, screen: Screen, outcome: Outcome, failures: list[str]) -> None:
    screen.act(6, "Summary")
    screen.summary([*outcome.rows(), *_links(running)])
    if outcome.incident and not running.options.exit:
        screen.say("Two queries to try, in another terminal:")
        for sql in to_try(outcome.incident.ticket):
            screen.plain(f'  FUSEBOX_DATA_DIR={running.config.data_dir} fusebox sql "{sql}"')
    for sentence in failures:
        screen.event("did not hold", sentence, "bold red")


def _links(running: Stage) -> list[tuple[str, str]]:
    """Where to look around; with --exit all of it is gone when somebody reads this."""
    dashboard = None if running.options.exit else running.url("dashboard")
    token = running.config.data_dir / "operator.token"
    return [("dashboard", f"{dashboard} (operator token: {token})")] if dashboard else []


def _stay(screen: Screen) -> None:
    screen.say("")
    screen.say("Everything stays up; Ctrl-C ends it.")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        screen.say("Stopping.")


verb = DemoVerb()
