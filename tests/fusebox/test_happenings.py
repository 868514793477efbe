"""Own events: one call, one counter, one line."""

import json
import logging

import pytest

from fusebox import happenings

KIND = happenings.declare("test_something", logging.WARNING, "a test did something")


def test_a_happening_is_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    before = happenings.counts()["test_something"]
    with caplog.at_level(logging.WARNING, "fusebox"):
        happenings.emit(KIND, count=3, agent="a", odd=object)
    assert happenings.counts()["test_something"] == before + 3
    assert json.loads(caplog.messages[0])["agent"] == "a"


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31mred", "\r", "\u202e", "\x00", "\u2028"])
def test_one_happening_is_one_line_without_control_characters(text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "fusebox"):
        happenings.emit(KIND, text=text)
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()
    assert json.loads(line)["text"] == text


def test_what_is_not_logged_is_still_counted(caplog: pytest.LogCaptureFixture) -> None:
    before = happenings.counts()["test_something"]
    with caplog.at_level(logging.CRITICAL, "fusebox"):
        happenings.emit(KIND)
    assert not caplog.messages
    assert happenings.counts()["test_something"] == before + 1


def test_a_kind_is_declared_once() -> None:
    with pytest.raises(ValueError, match="twice"):
        happenings.declare("test_something", logging.INFO, "again")


def test_kinds_that_never_happened_are_zero() -> None:
    happenings.declare("test_nothing", logging.INFO, "never")
    assert happenings.counts()["test_nothing"] == 0
    assert "test_nothing" in {kind.name for kind in happenings.kinds()}
