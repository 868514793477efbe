"""Every scene of the supply chain, on one running system: a RabbitMQ, Redis and every role as its own process."""

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from examples.demo_screen import Screen
from examples.demo_settings import Options
from examples.scenes.play import SCENES, play
from examples.scenes.stage import Endpoint, Mesh, mesh
from rabbitmq.node import PrivateNode
from tests.need import missing


@pytest.fixture(scope="module")
def running() -> Iterator[Mesh]:
    if not PrivateNode.available():
        missing("rabbitmq-server is not installed; apt-get install rabbitmq-server")
    with mesh(Options(dashboard=False), None, True, Endpoint(), lambda _: None) as stage:
        yield stage


@pytest.mark.parametrize("name", SCENES)
def test_it_holds(name: str, running: Mesh) -> None:
    told = play(name, running, Screen(Console(file=io.StringIO())))
    assert told.claims
    assert told.failures == []
