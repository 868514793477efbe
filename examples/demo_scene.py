"""``fusebox demo --scene NAME``: one scene on the whole supply chain."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from examples.demo_screen import Screen
from examples.demo_settings import Options
from examples.scenes.play import NEEDS_NODE, SCENES, play
from examples.scenes.stage import Endpoint, mesh
from fusebox.errors import ConfigError
from fusebox.rundir import lookup


def run(
    name: str, options: Options, amqp_url: str | None, private_node: bool, endpoint: Endpoint, screen: Screen,
    stay: Callable[[Screen], None],
) -> int:  # fmt: skip
    """Play it; 0 when everything held, else 1.

    Args:
        stay: called at the end when the person wants to look around.

    Raises:
        ConfigError: the scene kills RabbitMQ, and there is none of the demonstration's own.
        FuseboxError: a part did not start, or did not answer in time.
    """
    if name in NEEDS_NODE and not private_node:
        raise ConfigError(f"the scene {name} kills RabbitMQ: install rabbitmq-server, and give no address of yours")
    screen.title(f"Fusebox: {SCENES[name].about}")
    with mesh(options, amqp_url, private_node, endpoint, screen.starting) as stage:
        told = play(name, stage, screen)
        if not options.exit:
            _point_to_dashboard(stage.config.data_dir, screen)
            stay(screen)
    if options.json:
        screen.plain(json.dumps(told.json()))
    return 1 if told.failures else 0


def _point_to_dashboard(folder: Path, screen: Screen) -> None:
    dashboard = lookup(folder, "dashboard")
    if dashboard:
        screen.say(f"dashboard: {dashboard['url']} (operator token: {folder / 'operator.token'})")
