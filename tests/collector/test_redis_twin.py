"""The Redis of a data folder: found, private, durable, and never two of it."""

import os
import signal
import socket
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from collector.redis_twin import RedisTwin, socket_path
from fusebox.config import Config
from fusebox.errors import DataDirInUse
from fusebox.rundir import lookup
from fusebox.store import RedisStore, Script
from tests.fixtures.collector import StartRoles, until

PUT = Script("return redis.call('HSET', KEYS[1], 'v', ARGV[1])", lambda h, args: h.update(v=args[0]))


def test_state_survives_the_role_and_its_violent_end(roles: StartRoles) -> None:
    running = roles("redis")
    info = running.info("redis")
    store = RedisStore(info["url"])
    store.run(PUT, "key", "kept")
    os.kill(info["pid"], signal.SIGKILL)
    again = until(
        lambda: (found := lookup(running.config.data_dir, "redis")) and found["pid"] != info["pid"] and found,
        "the role is up again",
    )
    assert again["server"] != info["server"]
    assert "redis_leftover_ended" in running.log("redis")
    assert RedisStore(again["url"]).read("key") == {"v": "kept"}


def test_the_socket_is_private_and_a_second_server_is_refused(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path)
    twin = RedisTwin(config)
    twin.start()
    try:
        path = socket_path(config)
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        with pytest.raises(DataDirInUse, match="redis already runs"):
            RedisTwin(config).start()
    finally:
        twin.stop()
        twin.stop()
    assert lookup(tmp_path, "redis") is None


def test_a_long_data_folder_still_gets_a_socket(tmp_path: Path) -> None:
    config = Config(data_dir=tmp_path / ("long" * 40))
    assert len(str(socket_path(config))) < 104
    twin = RedisTwin(config)
    twin.start()
    try:
        info = lookup(config.data_dir, "redis")
        assert info is not None
        RedisStore(info["url"]).ping()
    finally:
        twin.stop()


def test_health_and_metrics_are_the_servers_own(roles: StartRoles) -> None:
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    running = roles("redis", env={"FUSEBOX_REDIS_METRICS_PORT": str(port)})
    until(lambda: _page(port, "/healthz")[0] == 200, "it is healthy")
    text = _page(port, "/metrics")[1]
    for line in (
        "fusebox_redis_answers 1",
        "# TYPE redis_commands_processed_total counter",
        "redis_memory_used_bytes ",
    ):
        assert line in text
    os.kill(running.info("redis")["server"], signal.SIGSTOP)
    try:
        status, text = _page(port, "/healthz")
        assert (status, "does not answer" in text) == (503, True)
    finally:
        os.kill(running.info("redis")["server"], signal.SIGCONT)


def _page(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_server_is_asked_in_one_line_and_an_error_is_no_answer(tmp_path: Path) -> None:
    twin = RedisTwin(Config(data_dir=tmp_path))
    with pytest.raises(OSError, match="No such file"):
        twin.line.ask("PING")
    twin.start()
    try:
        assert twin.line.ask("PING") == "PONG"
        assert twin.line.info()["aof_last_write_status"] == "ok"
        with pytest.raises(ConnectionError, match="ERR unknown command"):
            twin.line.ask("NONSENSE")
    finally:
        twin.stop()
