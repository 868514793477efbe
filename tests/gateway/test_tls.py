"""Agents that are known by their client certificates."""

import datetime
import json
import ssl
from http.client import HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from collector.verbs.roles import standings
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

    def ask(self, pair: tuple[Path, Path] | None, key: str = "", path: str = "/v1/chat/completions") -> HTTPResponse:
        context = ssl.create_default_context(cafile=self.trusted.file)
        if pair is not None:
            context.load_cert_chain(*pair)
        connection = HTTPSConnection(urlsplit(self.running.url).netloc, timeout=10, context=context)
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
