"""``amqps://`` with certificates, against a RabbitMQ that insists on them."""

import datetime
import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fusebox.errors import BrokerUnavailable, ConfigError
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.node import PrivateNode
from rabbitmq.node_programs import free_ports
from tests.fixtures.broker import Unique
from tests.need import missing

DAY = datetime.timedelta(days=1)


class Authority:
    """A certificate authority of our own; everything it writes is a file in ``folder``."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = folder / f"{name}.pem"
        certificate = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        identity = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        self._write(self.file, certificate.add_extension(usage, True).add_extension(identity, False))

    def issue(self, name: str) -> tuple[Path, Path]:
        """A certificate for 127.0.0.1 and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate, secret = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        self._write(certificate, self._builder(subject, key).add_extension(address, False).add_extension(issuer, False))
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        secret.write_bytes(key.private_bytes(*plain))
        return certificate, secret

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY
        )

    def _write(self, path: Path, builder: x509.CertificateBuilder) -> None:
        signed = builder.sign(self._key, hashes.SHA256())
        path.write_bytes(signed.public_bytes(serialization.Encoding.PEM))


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
