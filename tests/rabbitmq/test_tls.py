"""``amqps://`` with certificates, against a RabbitMQ that insists on them."""

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest

from fusebox.errors import BrokerUnavailable, ConfigError, Retryable
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.node import PrivateNode
from rabbitmq.node_programs import free_ports
from tests.fixtures.authority import Authority
from tests.fixtures.broker import Unique
from tests.need import PATIENCE_S, missing


@dataclass(frozen=True)
class Secured:
    """A node that takes TLS connections only from clients with a certificate of ``authority``."""

    node: PrivateNode
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
    yield Secured(node, url, authority, authority.issue("client"))
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


def test_a_certificate_that_is_replaced_counts_from_the_next_connection_on(
    secured: Secured, unique: Unique, tmp_path: Path
) -> None:
    def put(pair: tuple[Path, Path]) -> None:
        for source, target in zip(pair, files, strict=True):
            target.write_bytes(source.read_bytes())
        secured.node.ctl("close_all_connections", "certificates were replaced")

    files = (tmp_path / "own.pem", tmp_path / "own.key")
    put(secured.client)
    url = secured.with_files(cacertfile=secured.authority.file, certfile=files[0], keyfile=files[1])
    broker, queue = AmqpBroker(url), unique("work")
    broker.start()
    try:
        broker.declare(Topology(queues=(Queue(queue),)))
        put(Authority(tmp_path, "stranger").issue("client"))
        with pytest.raises(Retryable):  # a stranger is kept out
            broker.publish("", queue, Message(b"nobody's"), timeout=2.0)
        put(secured.authority.issue("renewed"))
        broker.publish("", queue, Message(b"back"), timeout=PATIENCE_S)
    finally:
        broker.stop()


def test_users_passwords_and_virtual_hosts_may_have_any_character(secured: Secured, unique: Unique) -> None:
    user, word, vhost = "ops@example.com", "p@ss:w/rd%#?+&", "team/prod eu"
    secured.node.ctl("add_user", user, word)
    secured.node.ctl("add_vhost", vhost)
    secured.node.ctl("set_permissions", "-p", vhost, user, ".*", ".*", ".*")
    parts = urlsplit(secured.trusted())
    who, where = f"{quote(user, safe='')}:{quote(word, safe='')}", quote(vhost, safe="")
    broker = AmqpBroker(parts._replace(netloc=f"{who}@127.0.0.1:{parts.port}", path=f"/{where}").geturl())
    broker.start()
    try:
        broker.declare(Topology(queues=(Queue(unique("work")),)))
    finally:
        broker.stop()


def test_a_virtual_host_with_a_bare_slash_is_refused_and_not_cut() -> None:
    with pytest.raises(ConfigError, match="virtual host") as refused:
        AmqpBroker("amqp://user:hunter2@127.0.0.1/team/prod")
    assert "hunter2" not in str(refused.value)


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


def test_nothing_in_the_address_turns_the_check_of_certificates_off(tmp_path: Path) -> None:
    blind = {"protocol": int(ssl.PROTOCOL_TLS), "cafile": str(Authority(tmp_path, "any").file)}
    with pytest.raises(ConfigError, match="amqps://"):
        AmqpBroker(f"amqps://user:word@127.0.0.1/%2F?ssl_options={quote(repr(blind))}")


def test_a_key_without_its_certificate_is_refused() -> None:
    with pytest.raises(ConfigError, match="certfile"):
        AmqpBroker("amqps://user:word@127.0.0.1/%2F?keyfile=/k.pem")
