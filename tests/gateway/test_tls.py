"""Agents that are known by their client certificates."""

import datetime
import json
import socket
import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from collector.verbs.roles import standings
from fusebox import happenings
from fusebox.config import Config
from fusebox.errors import ConfigError
from gateway.app import check
from tests.fixtures.agents import eventually
from tests.fixtures.authority import Authority
from tests.fixtures.gateway import Provider, Running, StartGateway, whole
from tests.gateway.test_ledger import CHAT


class Ring:
    """A gateway over HTTPS, and certificates of the authority it trusts and of another one."""

    def __init__(self, folder: Path, gateways: StartGateway, **settings: Any) -> None:
        self.trusted, self.other = Authority(folder, "trusted"), Authority(folder, "other")
        certificate, key = self.trusted.issue("gateway")
        told = f'[tls]\ncertificate = "{certificate}"\nkey = "{key}"\nclients = "{self.trusted.file}"\n'
        self.running: Running = gateways(told, **settings)

    def let(self, agent: str, file: Path) -> str:
        return self.running.keys.add_certificate(agent, file.read_text(), team="", models=("*",), tools=())

    def context(self, pair: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """What a client believes, and its certificate."""
        context = ssl.create_default_context(cafile=self.trusted.file)
        if pair is not None:
            context.load_cert_chain(*pair)
        return context

    @contextmanager
    def connected(
        self, context: ssl.SSLContext | None = None, session: ssl.SSLSession | None = None
    ) -> Iterator[HTTPSConnection]:
        """A connection that stays."""
        parts, context = urlsplit(self.running.url), context or self.context()
        connection = HTTPSConnection(parts.netloc, timeout=10)
        plain = socket.create_connection((parts.hostname, parts.port), 10)
        connection.sock = context.wrap_socket(plain, server_hostname=parts.hostname, session=session)
        with closing(connection):
            yield connection

    def ask(self, pair: tuple[Path, Path] | None, key: str = "", path: str = "/v1/chat/completions") -> HTTPResponse:
        connection = HTTPSConnection(urlsplit(self.running.url).netloc, timeout=10, context=self.context(pair))
        told = {"authorization": f"Bearer {key}"} if key else {}
        posts = path.startswith("/v1/")
        connection.request("POST" if posts else "GET", path, json.dumps(CHAT) if posts else None, told)
        return connection.getresponse()


@pytest.fixture
def ring(tmp_path: Path, gateways: StartGateway, provider: Provider) -> Ring:
    provider.answers = [whole("openai_chat.json")]
    return Ring(tmp_path, gateways)


def test_a_certificate_says_who_calls(ring: Ring) -> None:
    known, unknown = ring.trusted.issue("label-bot"), ring.trusted.issue("nobody")
    entry = ring.let("label-bot", known[0])
    assert ring.ask(known).status == 200
    assert ring.ask(known, key="whatever a client library insists on").status == 200
    (span, *_) = ring.running.span(2)
    assert span.attributes is not None
    assert span.attributes["gen_ai.agent.id"] == "label-bot"
    assert ring.ask(unknown).status == 401
    assert ring.ask(None).status == 401
    assert ring.ask(None, key=ring.running.key).status == 200
    assert ring.ask(known, key=ring.running.key).status == 401  # two agents at once are nobody
    ring.running.keys.revoke(entry)
    eventually(lambda: ring.ask(known, path="/nothing").status == 401, what="the revoked certificate is worth nothing")


def test_a_certificate_of_another_authority_is_worth_nothing(ring: Ring) -> None:
    forged = ring.other.issue("label-bot")
    ring.let("label-bot", forged[0])
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ring.ask(forged)


def test_a_certificate_that_ends_lets_nobody_in_on_a_connection_that_is_still_open(ring: Ring) -> None:
    short = ring.trusted.issue("label-bot", lasts=datetime.timedelta(seconds=4))
    ring.let("label-bot", short[0])
    context = ssl.create_default_context(cafile=ring.trusted.file)
    context.load_cert_chain(*short)
    connection = HTTPSConnection(urlsplit(ring.running.url).netloc, timeout=10, context=context)

    def asked() -> int:
        connection.request("GET", "/v1/models")
        response = connection.getresponse()
        response.read()
        return response.status

    assert asked() == 200
    first = connection.sock
    eventually(lambda: asked() == 401, what="the certificate is over")
    assert connection.sock is first
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ring.ask(short)


def test_what_is_no_certificate_is_refused(ring: Ring, gateways: StartGateway, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no certificate"):
        ring.running.keys.add_certificate("label-bot", "nonsense", team="", models=(), tools=())
    chain = ring.trusted.issue("label-bot")[0].read_text() + ring.trusted.file.read_text()
    with pytest.raises(ConfigError, match="without its chain"):
        ring.running.keys.add_certificate("label-bot", chain, team="", models=(), tools=())
    (tmp_path / "empty.pem").write_text("")
    broken = f'[tls]\ncertificate = "{tmp_path}/empty.pem"\nkey = "{tmp_path}/empty.pem"\n'
    with pytest.raises(ConfigError, match="tls"):
        gateways(broken, data="other")
    with pytest.raises(ConfigError, match="tls"):
        check(Config(data_dir=tmp_path / "other", gateway_file=tmp_path / "gateway.toml", gateway_port=0))


def test_only_over_tls_the_gateway_serves_other_machines(
    tmp_path: Path, gateways: StartGateway, provider: Provider
) -> None:
    with pytest.raises(ConfigError, match=r"\[tls\]"):
        gateways(gateway_host="0.0.0.0")
    provider.answers = [whole("openai_chat.json")]
    ring = Ring(tmp_path, gateways, gateway_host="0.0.0.0", data="open")
    assert ring.ask(None, key=ring.running.key).status == 200
    assert [ring.ask(None, path=path).status for path in ("/v1/chat/completions", "/metrics")] == [401, 401]
    assert ring.ask(None, key=ring.running.key, path="/metrics").status == 200


def test_status_finds_a_gateway_that_serves_with_and_without_tls(
    tmp_path: Path, gateways: StartGateway, provider: Provider
) -> None:
    Ring(tmp_path, gateways, data="locked")
    gateways(data="open")
    for folder in ("locked", "open"):
        found = {standing.role: standing for standing in standings(Config(data_dir=tmp_path / folder))}
        assert found["gateway"].state == "up", found["gateway"].detail


def test_a_renewed_certificate_is_shown_to_who_connects_next_and_cuts_nobody(ring: Ring) -> None:
    with ring.connected() as kept:
        first = shown(kept)
        ring.trusted.issue("gateway")
        with ring.connected() as later:
            assert shown(later) != first
            assert asked(later) == asked(kept) == 200
        assert shown(kept) == first
    assert happenings.counts()["certificate_renewed"] > 0


@pytest.mark.parametrize("file", ["gateway.pem", "gateway.key", "trusted.pem"])
def test_a_file_that_cannot_be_used_leaves_what_was_in_force_and_says_so(
    ring: Ring, tmp_path: Path, file: str, caplog: pytest.LogCaptureFixture
) -> None:
    context, path = ring.context(), tmp_path / file
    with ring.connected(context) as before:
        first = shown(before)
    whole_file, told = path.read_bytes(), happenings.counts()["certificate_unusable"]
    for damage in (b"", whole_file[: len(whole_file) // 2], None):
        path.write_bytes(damage) if damage is not None else path.unlink()
        for _ in range(2):
            with ring.connected(context) as meanwhile:
                assert (shown(meanwhile), asked(meanwhile)) == (first, 200)
    assert happenings.counts()["certificate_unusable"] == told + 3  # once each
    assert "gateway.pem" in caplog.text


def test_a_certificate_whose_key_is_still_to_come_is_not_used_before(ring: Ring, tmp_path: Path) -> None:
    with ring.connected() as before:
        first = shown(before)
    old_key = (tmp_path / "gateway.key").read_bytes()
    _, key = ring.trusted.issue("gateway")
    new_key = key.read_bytes()
    key.write_bytes(old_key)
    with ring.connected() as between:
        assert shown(between) == first
    key.write_bytes(new_key)
    with ring.connected() as after:
        assert shown(after) != first


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_authority_that_is_replaced_lets_nobody_of_the_old_one_in(
    ring: Ring, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    old, new = ring.trusted.issue("old-bot"), ring.other.issue("new-bot")
    ring.let("old-bot", old[0])
    ring.let("new-bot", new[0])
    contexts = [ring.context(old), ring.context(new)]
    for context in contexts:
        context.maximum_version = version
    with ring.connected(contexts[0]) as before:
        assert asked(before) == 200
        session = before.sock.session  # a client may go on with it later, and shows no certificate again
    (tmp_path / "trusted.pem").write_bytes(ring.other.file.read_bytes())
    with pytest.raises((ssl.SSLError, ConnectionError)), ring.connected(contexts[0], session) as after:
        asked(after)
    with ring.connected(contexts[1]) as known:
        assert asked(known) == 200


def shown(connection: HTTPSConnection) -> bytes:
    """The gateway's certificate, as this connection has seen it."""
    return bytes(connection.sock.getpeercert(binary_form=True))


def asked(connection: HTTPSConnection) -> int:
    connection.request("GET", "/healthz")
    response = connection.getresponse()
    response.read()
    return response.status
