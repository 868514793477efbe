"""A private RabbitMQ node: starts, dies, comes back with its data, and leaves nothing behind."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from fusebox.errors import DataDirInUse
from rabbitmq.amqp import AmqpBroker
from rabbitmq.node import NodeFailed, PrivateNode
from rabbitmq.node_programs import speaks_amqp
from tests.fixtures.agents import eventually
from tests.need import missing

OWNER = """
import os, signal, sys
from pathlib import Path
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.node import PrivateNode
node = PrivateNode(Path(sys.argv[1]))
node.start()
broker = AmqpBroker(node.url)
broker.start()
broker.declare(Topology(queues=(Queue("kept"),)))
broker.publish("", "kept", Message(b"x"))
os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_owner(folder: Path) -> None:
    """A process starts a node in ``folder``, has a message confirmed and is killed."""
    done = subprocess.run([sys.executable, "-c", OWNER, str(folder)], check=False, timeout=90)
    assert done.returncode == -signal.SIGKILL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    if not PrivateNode.available():
        missing("rabbitmq-server is not installed; apt-get install rabbitmq-server")
    return tmp_path / "node"


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


@pytest.mark.faults
def test_a_node_ends_with_its_owner_and_comes_back_with_its_data(folder: Path) -> None:
    killed_owner(folder)
    left = json.loads((folder / "pids.json").read_text())
    node = PrivateNode(folder)
    broker = AmqpBroker(node.url)
    try:
        node.start()
        assert not any(alive(pid) for pid in left)
        broker.start()
        eventually(lambda: broker.depth("kept") == 1, what="the queue is back with its message")
        broker.stop()
    finally:
        node.stop()
    assert not speaks_amqp(port_of(node.url))
    assert not running_in(folder)


@pytest.mark.faults
def test_nothing_runs_on_after_its_owner_was_killed(folder: Path) -> None:
    killed_owner(folder)
    eventually(lambda: not running_in(folder), what="the node is gone")


def running_in(folder: Path) -> list[str]:
    """Processes whose HOME is the node's folder."""
    mark = f"HOME={folder}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_ports_that_another_program_took_meanwhile_are_replaced(folder: Path) -> None:
    before = PrivateNode(folder).url
    with socket.create_server(("127.0.0.1", port_of(before))):
        node = PrivateNode(folder)
        node.start()
        try:
            assert port_of(node.url) != port_of(before)
            assert speaks_amqp(port_of(node.url))
        finally:
            node.stop()


def port_of(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def test_a_folder_serves_one_process_at_a_time(rabbitmq_node: PrivateNode) -> None:
    with pytest.raises(DataDirInUse, match="another folder"):
        PrivateNode(rabbitmq_node.folder).start()


def test_secrets_of_the_node_are_the_owners_alone(rabbitmq_node: PrivateNode) -> None:
    for name in ("node.json", "conf/rabbitmq.conf", ".erlang.cookie"):
        assert (rabbitmq_node.folder / name).stat().st_mode & 0o077 == 0


def test_starting_a_running_node_does_nothing(rabbitmq_node: PrivateNode) -> None:
    before = (rabbitmq_node.folder / "pids.json").read_text()
    rabbitmq_node.start()
    assert (rabbitmq_node.folder / "pids.json").read_text() == before


def test_ctl_speaks_to_this_node_and_repeats_its_refusals(rabbitmq_node: PrivateNode) -> None:
    assert "fusebox" in rabbitmq_node.ctl("list_users")
    with pytest.raises(NodeFailed, match="no_such_user"):
        rabbitmq_node.ctl("delete_user", "no_such_user")


def test_where_rabbitmq_is_not_installed_the_error_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("RABBITMQ_HOME", raising=False)
    assert not PrivateNode.available()
    with pytest.raises(NodeFailed, match="apt-get install rabbitmq-server"):
        PrivateNode(tmp_path / "node").start()


def test_a_node_that_cannot_boot_fails_with_its_own_words(folder: Path) -> None:
    node = PrivateNode(folder)
    folder.mkdir()
    (folder / "data").write_text("in the way of the data folder")
    with pytest.raises((NodeFailed, FileExistsError)):
        node.start(timeout=30)
    assert not running_in(folder)
