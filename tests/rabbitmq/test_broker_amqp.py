"""What only a real RabbitMQ can show: addresses, credentials, threads, processes."""

import os
import socket
import threading
import traceback
import warnings
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from fusebox.errors import BadMessage, BrokerUnavailable, ConfigError, FuseboxError
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Delivery, Message, Queue, QueueType, Topology
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.node import PrivateNode
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique

SECRET = "hunter2-do-not-print"


@pytest.fixture
def queue(amqp: AmqpBroker, unique: Unique) -> str:
    name = unique("work")
    amqp.declare(Topology(queues=(Queue(name),)))
    return name


@pytest.fixture
def web_server() -> Iterator[int]:
    """The port of something that answers everybody, but not in AMQP."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                with client:
                    client.recv(100)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def start_failure(url: str) -> str:
    """The whole traceback of a start that fails, as a user would see it."""
    broker = AmqpBroker(url)
    with pytest.raises(BrokerUnavailable) as failure:
        broker.start()
    assert not any(thread.name == "fusebox-amqp" and thread.is_alive() for thread in threading.enumerate())
    return "".join(traceback.format_exception(failure.value))


def test_only_rabbitmq_reaches_other_processes() -> None:
    assert AmqpBroker("amqp://localhost").remote
    assert not InProcessBroker().remote


def test_without_a_server_the_error_names_the_address_and_the_ways_out() -> None:
    text = start_failure(f"amqp://user:{SECRET}@127.0.0.1:1/%2F")
    for word in ("127.0.0.1:1", "rabbitmq-server", "FUSEBOX_AMQP_URL", "in-process"):
        assert word in text
    assert SECRET not in text


def test_a_wrong_password_has_its_own_sentence_and_stays_secret(rabbitmq_url: str) -> None:
    parts = urlsplit(rabbitmq_url)
    text = start_failure(rabbitmq_url.replace(f":{parts.password}@", f":{SECRET}@"))
    assert "refused user 'fusebox' or the password" in text
    assert SECRET not in text


def test_a_missing_virtual_host_is_named(rabbitmq_url: str) -> None:
    assert "virtual host 'nowhere'" in start_failure(rabbitmq_url.replace("%2F", "nowhere"))


def test_another_protocol_is_named(web_server: int) -> None:
    assert "does not speak AMQP" in start_failure(f"amqp://u:{SECRET}@127.0.0.1:{web_server}/")


@pytest.mark.parametrize(
    "url", ["", f"http://u:{SECRET}@h/", f"amqp://u:{SECRET}@h:port/", f"amqp://u:{SECRET}@h/?heartbeat=x"]
)
def test_an_address_that_cannot_be_read_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigError, match="FUSEBOX_AMQP_URL") as failure:
        AmqpBroker(url)
    assert SECRET not in "".join(traceback.format_exception(failure.value))


def test_an_exclusive_queue_of_another_process_is_refused_by_name(
    amqp: AmqpBroker, rabbitmq_url: str, unique: Unique
) -> None:
    name = unique("own")
    own = Topology(queues=(Queue(name, type=QueueType.CLASSIC, exclusive=True),))
    amqp.declare(own)
    other = AmqpBroker(rabbitmq_url)
    other.start()
    try:
        with pytest.raises(ConfigError, match=f"another connection owns.*{name}"):
            other.declare(own)
    finally:
        other.stop()


def test_a_foreign_user_id_is_refused_before_rabbitmq_closes_the_channel(amqp: AmqpBroker, queue: str) -> None:
    with pytest.raises(BadMessage, match="'fusebox'"):
        amqp.publish("", queue, Message(b"", user_id="somebody"))
    amqp.publish("", queue, Message(b"", user_id="fusebox"))
    delivery = amqp.get(queue)
    assert delivery is not None
    assert delivery.message.user_id == "fusebox"


def test_a_callback_that_would_wait_for_its_own_thread_is_told_so(amqp: AmqpBroker, queue: str, inbox: Inbox) -> None:
    def callback(_: Delivery) -> None:
        try:
            amqp.publish("", queue, Message(b"again"))
        except FuseboxError as error:
            inbox.put(error)

    amqp.consume(queue, callback, prefetch=1)
    amqp.publish("", queue, Message(b"first"))
    (error,) = inbox.wait(1)
    assert isinstance(error, ConfigError)
    assert "another thread" in str(error)


def test_a_forked_child_is_refused_and_the_parent_works_on(amqp: AmqpBroker, queue: str) -> None:
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns about exactly this
        child = os.fork()
    if child == 0:
        try:
            amqp.publish("", queue, Message(b"from the child"))
        except ConfigError as error:
            os.write(writer, str(error).encode())
            amqp.stop()
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert b"forked" in os.read(reader, 1000)
    os.close(reader)
    amqp.publish("", queue, Message(b"from the parent"))
    assert amqp.depth(queue) == 1


def test_the_brokers_own_tools_show_who_is_connected(amqp: AmqpBroker, rabbitmq_node: PrivateNode) -> None:
    names = rabbitmq_node.ctl("list_connections", "client_properties")
    assert f"test publishing {os.getpid()}" in names
    assert f"test consuming {os.getpid()}" in names
    amqp.stop()
    eventually(lambda: "test publishing" not in rabbitmq_node.ctl("list_connections", "client_properties"))
