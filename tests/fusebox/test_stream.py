"""The Redis stream of Commands: every reader sees every Command, whatever happens to the stream."""

import time
from collections.abc import Callable, Iterator
from itertools import takewhile

import pytest

from fusebox.command import Command, Order
from fusebox.errors import ConfigError, StoreUnavailable
from fusebox.stream import KEPT, CommandStream
from tests.fixtures.store import RedisServer

KEY = "fusebox:commands:default"
Open = Callable[[], CommandStream]


@pytest.fixture
def opened(redis_server: RedisServer) -> Iterator[Open]:
    """Another end of the stream, at its beginning."""
    made: list[CommandStream] = []

    def make() -> CommandStream:
        made.append(CommandStream(redis_server.url, "default", wait=0.05))
        return made[-1]

    yield make
    for stream in made:
        stream.close()


def kill() -> Command:
    return Command(Order.KILL, "agent:bot", "jo", "x", time.time())


def resume(*lifts: Command) -> Command:
    return Command(Order.RESUME, "agent:bot", "jo", "x", time.time(), lifts=tuple(each.id for each in lifts))


def drain(stream: CommandStream) -> list[bytes]:
    """What comes until nothing comes twice in a row: a reader that must begin anew needs one round for it."""
    found: list[bytes] = []
    silent = 0
    while silent < 2:
        new = stream.read()
        found, silent = found + new, 0 if new else silent + 1
    return found


def test_every_reader_reads_everything_in_order_from_the_oldest(opened: Open) -> None:
    writer, early = opened(), opened()
    writer.append(b"1", kill())
    assert early.read() == [b"1"]
    writer.append(b"2", kill())
    assert early.read() == [b"2"]
    assert early.read() == []
    assert opened().read() == [b"1", b"2"]


def test_a_reader_asks_only_what_a_redis_of_version_6_0_understands(redis_server: RedisServer, opened: Open) -> None:
    writer, reader = opened(), opened()
    writer.append(b"1", kill())
    with redis_server.client().monitor() as told:
        assert drain(reader) == [b"1"]
        redis_server.client().echo("over")
        asked = list(takewhile(lambda each: not each.startswith("ECHO"), (each["command"] for each in told.listen())))
    assert any(each.startswith("XRANGE") for each in asked)
    assert not any("(" in each for each in asked)


def test_what_stood_there_before_a_reader_is_told_as_past(redis_server: RedisServer, opened: Open) -> None:
    writer, reader = opened(), opened()
    for name in (b"1", b"2"):
        writer.append(name, kill())
    assert (reader.read(), reader.past) == ([b"1", b"2"], True)
    writer.append(b"3", kill())
    assert (reader.read(), reader.past) == ([b"3"], False)
    redis_server.client().flushall()
    writer.append(b"4", kill())
    assert (reader.read(), reader.read(), reader.past) == ([], [b"4"], False), "it was not there before"


def test_a_command_that_comes_while_a_reader_waits_is_read_at_once(redis_server: RedisServer, opened: Open) -> None:
    reader = CommandStream(redis_server.url, "default", wait=10)
    opened().append(b"1", kill())
    assert reader.read() == [b"1"]
    reader.close()


def test_a_resume_takes_the_kills_it_lifts_out_and_no_other(opened: Open) -> None:
    writer, running, one, other = opened(), opened(), kill(), kill()
    writer.append(b"one", one)
    writer.append(b"other", other)
    assert running.read() == [b"one", b"other"]
    writer.append(b"resume", resume(one, other))
    third = kill()
    writer.append(b"third", third)
    assert drain(running)[-2:] == [b"resume", b"third"]
    assert drain(opened()) == [b"resume", b"third"]


def test_a_flushed_stream_is_read_from_its_new_beginning(redis_server: RedisServer, opened: Open) -> None:
    writer, reader = opened(), opened()
    writer.append(b"1", kill())
    assert reader.read() == [b"1"]
    redis_server.client().flushall()
    writer.append(b"2", kill())
    writer.append(b"3", kill())
    assert drain(reader) == [b"2", b"3"]


def test_a_stream_whose_ids_are_smaller_than_before_is_read(redis_server: RedisServer, opened: Open) -> None:
    reader, client = opened(), redis_server.client()
    opened().append(b"1", kill())
    assert reader.read() == [b"1"]
    client.flushall()
    client.xadd(KEY, {"signed": "2"}, id="5-0")
    client.xadd(KEY, {"signed": "3"}, id="99999999999999-0")
    assert drain(reader) == [b"2", b"3"]


def test_a_restarted_redis_is_read_again(redis_server: RedisServer, opened: Open) -> None:
    writer, reader = opened(), opened()
    writer.append(b"1", kill())
    assert reader.read() == [b"1"]
    redis_server.stop()
    for call in (reader.read, lambda: writer.append(b"2", kill())):
        with pytest.raises(StoreUnavailable):
            call()
    redis_server.start()
    writer.append(b"2", kill())
    assert drain(reader) == [b"2"]


def test_the_stream_is_bounded_and_a_slow_reader_goes_on_with_what_is_left(opened: Open) -> None:
    writer, slow = opened(), opened()
    writer.append(b"first", kill())
    assert slow.read() == [b"first"]
    for n in range(KEPT + 200):
        writer.append(str(n).encode(), kill())
    found = drain(slow)
    assert KEPT <= len(found) <= KEPT + 100
    assert found[-1] == str(KEPT + 199).encode()


def test_entries_that_are_none_of_ours_are_passed_over(redis_server: RedisServer, opened: Open) -> None:
    client = redis_server.client()
    client.xadd(KEY, {b"\xff": b"\xfe"})
    client.xadd(KEY, {b"signed": b"\xff\x00"})
    opened().append(b"1", kill())
    assert opened().read() == [b"\xff\x00", b"1"]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="redis_url"):
        CommandStream("nonsense", "default")
