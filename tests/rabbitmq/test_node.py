"""A private RabbitMQ node: starts, dies, comes back with its data, and leaves nothing behind."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from fusebox.errors import DataDirInUse
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.node import NodeFailed, PrivateNode
from rabbitmq.node_programs import speaks_amqp
from tests.fixtures.agents import eventually
from tests.need import missing

OWNER = """
    import os, signal, sys
    from pathlib import Path
    from rabbitmq.node import PrivateNode
    PrivateNode(Path(sys.argv[1])).start()
    os.kill(os.getpid(), signal.SIGKILL)
"""


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
def test_what_a_killed_owner_left_running_is_ended_and_its_data_kept(folder: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(OWNER), str(folder)], check=False, timeout=90)
    assert killed.returncode == -9
    left = json.loads((folder / "pids.json").read_text())
    assert all(alive(pid) for pid in left)
    node = PrivateNode(folder)
    try:
        broker = AmqpBroker(node.url)
        broker.start()
        broker.declare(Topology(queues=(Queue("kept"),)))
        broker.publish("", "kept", Message(b"x"))
        broker.stop()
        node.start()
        eventually(lambda: not any(alive(pid) for pid in left), what="the old node is gone")
        broker.start()
        eventually(lambda: broker.depth("kept") == 1, what="the queue is back with its message")
        broker.stop()
    finally:
        node.stop()
    port = int(node.url.rsplit(":", 1)[1].split("/")[0])
    assert not speaks_amqp(port)
    assert not running_in(folder)


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
