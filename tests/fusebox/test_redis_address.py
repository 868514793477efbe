"""``rediss://`` with certificates and an ACL user, for the stores of agents and for the gateway's own connection."""

import asyncio
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from fusebox.errors import ConfigError, StoreUnavailable
from fusebox.store import Script, open_store
from gateway.limits.wire import Wire
from rabbitmq.node_programs import free_ports
from tests.fixtures.authority import Authority
from tests.fixtures.store import RedisServer

WORD = "p@ss/w%rd:#?"
STEP = Script("return tostring(redis.call('HINCRBY', KEYS[1], 'n', 1))", lambda hash_, args: "1")
Speak = Callable[[str], str]


def by_store(url: str) -> str:
    store = open_store(url)
    try:
        return str(store.run(STEP, "counter"))
    finally:
        store.close()


def by_wire(url: str) -> str:
    async def speak() -> str:
        wire = Wire(url, 5.0)
        try:
            return await wire.run(STEP, "counter")
        finally:
            wire.close()

    return asyncio.run(speak())


both = pytest.mark.parametrize("speak", [by_store, by_wire])


@dataclass
class Secured:
    """A Redis that takes TLS from clients with a certificate of ``authority``, and one user."""

    server: RedisServer
    port: int
    authority: Authority
    client: tuple[Path, Path]

    def url(self, host: str = "127.0.0.1", word: str = WORD, **files: Path) -> str:
        query = "&".join(f"{name}={quote(str(path))}" for name, path in files.items())
        return f"rediss://fuse:{quote(word, safe='')}@{host}:{self.port}/0?{query}"

    @property
    def files(self) -> dict[str, Path]:
        return {"ssl_ca_certs": self.authority.file, "ssl_certfile": self.client[0], "ssl_keyfile": self.client[1]}


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder, (port,) = tmp_path_factory.mktemp("tls"), free_ports(1)
    authority = Authority(folder, "authority")
    certificate, key = authority.issue("server")
    (folder / "users").write_text(f"user default on nopass -@all +ping\nuser fuse on >{WORD} ~* +@all\n")
    more = {
        "tls-port": port, "tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority.file,
        "aclfile": folder / "users",
    }  # fmt: skip
    server = RedisServer(folder, more=tuple(part for name, value in more.items() for part in (f"--{name}", str(value))))
    server.start()
    yield Secured(server, port, authority, authority.issue("client"))
    server.stop()


@both
def test_a_user_with_a_certificate_works_over_tls(secured: Secured, speak: Speak) -> None:
    assert int(speak(secured.url(**secured.files))) > 0


@both
def test_so_does_one_over_a_unix_socket(secured: Secured, speak: Speak) -> None:
    assert int(speak(secured.server.url.replace("unix://", f"unix://fuse:{quote(WORD, safe='')}@"))) > 0


@both
def test_a_server_under_another_name_is_not_spoken_to(secured: Secured, speak: Speak) -> None:
    with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        speak(secured.url("localhost", **secured.files))


@both
def test_a_server_of_an_unknown_authority_is_not_spoken_to(secured: Secured, speak: Speak) -> None:
    with pytest.raises(StoreUnavailable, match=r"CERTIFICATE_VERIFY_FAILED.*SSL_CERT_FILE"):
        speak(secured.url())


@both
def test_a_client_without_a_certificate_is_kept_out(secured: Secured, speak: Speak) -> None:
    with pytest.raises(StoreUnavailable):
        speak(secured.url(ssl_ca_certs=secured.authority.file))


def test_a_server_that_comes_back_with_a_new_certificate_is_spoken_to(secured: Secured) -> None:
    store = open_store(secured.url(**secured.files))
    store.run(STEP, "counter")
    secured.server.stop()
    secured.authority.issue("server")
    secured.server.start()
    assert store.run(STEP, "counter") == "1"
    store.close()


@both
@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?ssl_ca_certs=/nowhere.pem", "/nowhere.pem"),
        ("?ssl_keyfile=/key.pem", "certificate"),
        ("?ssl_cert_reqs=none", "ssl_cert_reqs"),
        ("?ssl_check_hostname=false", "ssl_check_hostname"),
    ],
)
def test_certificates_that_cannot_be_used_or_would_not_be_checked_are_refused(
    speak: Speak, query: str, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        speak(f"rediss://fuse:hunter2@127.0.0.1:9/0{query}")


@both
def test_certificates_without_tls_are_refused(speak: Speak) -> None:
    with pytest.raises(ConfigError, match="rediss://"):
        speak("redis://fuse:hunter2@127.0.0.1:9/0?ssl_ca_certs=/ca.pem")


@both
@pytest.mark.parametrize(
    "url",
    [
        "redis+tls://fuse:hunter2@127.0.0.1:9",
        "redis://:hunt/er2@127.0.0.1:9",
        "redis://:hunt#er2@127.0.0.1:9",
        "redis://fuse:hunter2@127.0.0.1:hunt",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(speak: Speak, url: str) -> None:
    with pytest.raises(ConfigError, match="redis_url") as error:
        speak(url)
    assert "hunt" not in "".join(traceback.format_exception(error.value))
