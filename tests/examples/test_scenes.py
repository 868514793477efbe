"""Every scene of the supply chain, on one running system: a RabbitMQ, Redis and every role as its own process."""

import io
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from examples.demo_screen import Screen
from examples.demo_settings import Options
from examples.model_server import ModelServer
from examples.scenes.play import SCENES, play
from examples.scenes.stage import Endpoint, Mesh, mesh
from examples.supply_chain.database import open_database
from rabbitmq.node import PrivateNode
from tests.examples.test_demo import LIMIT_S, command, environment
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


def test_by_command(tmp_path: Path) -> None:
    arguments = ("--scene", "approval", "--exit", "--json", "--no-dashboard", "--broker", "in-process")
    done = subprocess.run(
        command(*arguments), cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["scene"], told["held"]) == ("approval", True)


def test_on_postgresql(tmp_path: Path, postgres_url: str) -> None:
    asked: list[str] = []

    def model(_messages: object, name: str, _seed: int) -> str:
        asked.append(name)
        return "180 pieces are missing."

    models = ModelServer(model)
    models.start()
    arguments = ("--scene", "delay", "--exit", "--json", "--no-dashboard", "--broker", "in-process")
    chosen = ("--inventory-url", postgres_url, "--models-url", f"{models.url}/v1", "--model", "tiny-1")
    try:
        done = subprocess.run(
            command(*arguments, *chosen), cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=LIMIT_S, check=False,
        )  # fmt: skip
    finally:
        models.stop()
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert json.loads(done.stdout.splitlines()[-1])["held"]
    assert asked == ["tiny-1"]
    left = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'fusebox%'"
    assert open_database(postgres_url).rows(left) == [], "its tables went with it"


def test_a_scene_that_kills_rabbitmq_kills_none_of_yours(tmp_path: Path) -> None:
    done = subprocess.run(
        command("--scene", "broker-killed", "--amqp-url", "amqp://127.0.0.1:1"), cwd=tmp_path,
        env=environment(tmp_path), capture_output=True, text=True, timeout=LIMIT_S, check=False,
    )  # fmt: skip
    assert (done.returncode, "install rabbitmq-server" in done.stderr) == (2, True)
