"""ClickHouse behind TLS, and its password, which nobody else gets."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import queries
from collector.clickhouse import client_of
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown
from collector.verbs.sql import ask
from fusebox.config import Config
from fusebox.errors import ConfigError
from tests.collector.clickhouse_standin import StandIn
from tests.collector.prebuilt import database
from tests.fixtures.authority import Authority
from tests.fixtures.secured import Secured


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandIn]:
    server = StandIn(database(tmp_path_factory.mktemp("server") / "data"))
    yield server
    server.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "authority")


@pytest.fixture
def secured(server: StandIn, authority: Authority) -> Iterator[Secured]:
    with Secured(server.url, authority.issue("server")) as secured:
        yield secured


def test_keep_and_readers_speak_tls_where_the_address_says_https(
    secured: Secured, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    engine = Engine(None, secured.url)
    assert engine.writer().command("SELECT 1") == 1
    engine.close()
    config = Config(data_dir=tmp_path, sql_url=secured.url)
    with queries.connect(config) as client:
        assert queries.run(client, "spans_total") == [{"spans": 0}]
    assert ask(config, "SELECT 1", "TSV")[0] == b"1\n"


def test_the_authority_may_stand_in_the_address(secured: Secured, authority: Authority) -> None:
    with client_of(f"{secured.url}?ca_cert={authority.file}", "clickhouse_url") as client:
        assert client.command("SELECT 1") == 1


def test_a_server_of_an_unknown_authority_gets_no_password(secured: Secured) -> None:
    with pytest.raises(EngineDown, match="CERTIFICATE_VERIFY_FAILED"):
        Engine(None, secured.url).writer()
    assert secured.spoken == 0


def test_a_proxy_is_not_asked_the_way_to_this_machine(server: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with client_of(server.url, "sql_url") as client:
        assert client.command("SELECT 1") == 1


@pytest.mark.parametrize(
    "url",
    ["http://jo:hunt/er2@127.0.0.1:9", "clickhouse://jo:hunter2@127.0.0.1:9", "jo:hunter2@127.0.0.1", "http://[::1"],
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="clickhouse_url") as error:
        Engine(None, url).writer()
    assert "hunt" not in "".join(traceback.format_exception(error.value))
