"""Certificates of servers, beside what a gateway shows of them (tests/gateway/test_tls.py)."""

import ssl
from pathlib import Path

from fusebox import happenings
from fusebox.certificates import ServerContext, Tls
from tests.fixtures.authority import Authority
from tests.fixtures.files import no_file_can_be_opened


def test_a_certificate_that_cannot_be_read_for_a_moment_is_shown_to_later_clients(tmp_path: Path) -> None:
    authority = Authority(tmp_path, "authority")
    server = ServerContext(Tls(*authority.issue("gateway")))

    def connects() -> ssl.SSLContext:
        return server.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=True).context

    old, told = connects(), happenings.counts()["certificate_unusable"]
    authority.issue("gateway")
    with no_file_can_be_opened():
        assert [connects(), connects()] == [old, old]
    assert happenings.counts()["certificate_unusable"] == told + 1
    new = connects()
    assert new is not old
    assert connects() is new
