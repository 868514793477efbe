"""``amqps://`` with certificates, against a RabbitMQ that insists on them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from fusebox.errors import BrokerUnavailable, ConfigError
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.node import PrivateNode
from rabbitmq.node_programs import free_ports
from tests.fixtures.authority import Authority
from tests.fixtures.broker import Unique
from tests.need import missing


@dataclass(frozen=True)
class Secured:
    """A node that takes TLS connections only from clients with a certificate of ``authority``."""

    url: str
    authority: Authority
    client: tuple[Path, Path]

    def with_files(self, **files: Path) -> str:
        return f"{self.url}?" + "&".join(f"{name}={quote(str(path))}" for name, path in files.items())

    def trusted(self) -> str:
        return self.with_files(cacertfile=self.authority.file, certfile=self.client[0], keyfile=self.client[1])


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    if not PrivateNode.available():
        missing("rabbitmq-server is not installed; apt-get install rabbitmq-server")
    folder, (port,) = tmp_path_factory.mktemp("tls"), free_ports(1)
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("server")
    settings = (
        f"listeners.ssl.default = 127.0.0.1:{port}\n"
        f"ssl_options.cacertfile = {authority.file}\n"
        f"ssl_options.certfile = {certificate}\n"
        f"ssl_options.keyfile = {key}\n"
        "ssl_options.verify = verify_peer\n"
        "ssl_options.fail_if_no_peer_cert = true\n"
    )
    node = PrivateNode(folder / "node", settings=settings)
    node.start()
    user = urlsplit(node.url)
    url = f"amqps://{user.username}:{user.password}@127.0.0.1:{port}/%2F"
    yield Secured(url, authority, authority.issue("client"))
    node.stop()


def refusal(url: str) -> str:
    broker = AmqpBroker(url)
    with pytest.raises(BrokerUnavailable) as failure:
        broker.start()
    broker.stop()
    return str(failure.value)


def test_a_client_with_a_certificate_works_over_tls(secured: Secured, unique: Unique) -> None:
    broker, queue = AmqpBroker(secured.trusted()), unique("work")
    broker.start()
    try:
        broker.declare(Topology(queues=(Queue(queue),)))
        broker.publish("", queue, Message(b"private"))
        delivery = broker.get(queue)
        assert delivery is not None
        assert delivery.message.body == b"private"
    finally:
        broker.stop()


def test_a_client_without_a_certificate_is_kept_out(secured: Secured) -> None:
    refusal(secured.with_files(cacertfile=secured.authority.file))


def test_a_client_of_a_stranger_is_kept_out(secured: Secured, tmp_path: Path) -> None:
    certificate, key = Authority(tmp_path, "stranger").issue("client")
    refusal(secured.with_files(cacertfile=secured.authority.file, certfile=certificate, keyfile=key))


def test_a_server_of_an_unknown_authority_is_not_spoken_to(secured: Secured) -> None:
    text = refusal(secured.url)
    assert "TLS" in text
    assert "cacertfile" in text


def test_a_server_under_another_name_is_not_spoken_to(secured: Secured) -> None:
    assert "TLS" in refusal(secured.trusted().replace("@127.0.0.1:", "@localhost:"))


def test_a_certificate_that_is_not_there_is_named(secured: Secured, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.pem"):
        AmqpBroker(secured.with_files(cacertfile=tmp_path / "nowhere.pem"))


@pytest.mark.parametrize("query", ["certfile=/c.pem", "cacertfile=/ca.pem"])
def test_certificates_without_tls_are_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="amqps://"):
        AmqpBroker(f"amqp://user:word@127.0.0.1/%2F?{query}")


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="certfile"):
        AmqpBroker("amqps://user:word@127.0.0.1/%2F?keyfile=/k.pem")
