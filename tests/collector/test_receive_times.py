"""Spans whose times cannot be right are kept, flagged, and found by the statement of the guide."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.receive.stamp import stamp
from fusebox import happenings, names
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import START_NS, request, scalars, span
from tests.collector.test_receive_stamp import ANYBODY, NOW, stamped

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guide" / "receive.md"
SECOND, DAY = 10**9, 86_400 * 10**9
AT = int(NOW * SECOND)


@pytest.mark.parametrize(
    ("start", "end", "doubt"),
    [
        (START_NS, START_NS, ""),
        (START_NS, START_NS - 1, "negative_duration"),
        (START_NS, 0, "negative_duration"),
        (AT, AT + 300 * SECOND, ""),
        (AT, AT + 301 * SECOND, "future"),
        (AT + 3600 * SECOND, AT + 3601 * SECOND, "future"),
        ((1 << 64) - 2, (1 << 64) - 1, "future"),
        (AT - 30 * DAY, AT, ""),
        (AT - 30 * DAY - SECOND, AT - 30 * DAY, "past"),
        (0, 0, "past"),
        (0, AT + DAY, "future"),
    ],
)
def test_a_span_whose_times_cannot_be_right_says_why(start: int, end: int, doubt: str) -> None:
    before = happenings.counts()["spans_time_doubted"]
    item = span({names.TIME_DOUBT: "none, believe me"}, start_time_unix_nano=start, end_time_unix_nano=end)
    assert stamped(item).get(names.TIME_DOUBT, "") == doubt
    assert happenings.counts()["spans_time_doubted"] == before + bool(doubt)


@given(st.integers(0, (1 << 64) - 1), st.integers(0, (1 << 64) - 1))
def test_what_is_not_flagged_lies_where_people_look(start: int, end: int) -> None:
    flagged = names.TIME_DOUBT in stamped(span(start_time_unix_nano=start, end_time_unix_nano=end))
    assert flagged != (AT - 30 * DAY <= start <= end <= AT + 300 * SECOND)


def test_the_statement_of_the_guide_names_whose_clock_is_off(tmp_path: Path) -> None:
    message = request(
        span(),
        span(start_time_unix_nano=START_NS, end_time_unix_nano=START_NS - SECOND),
        span(start_time_unix_nano=0, end_time_unix_nano=1),
        span(start_time_unix_nano=9_200_000_000 * SECOND, end_time_unix_nano=9_200_000_001 * SECOND),
        service="skewed",
    )
    stamp(message, ANYBODY, NOW)
    (statement,) = re.findall(r"```sql\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    with Bench(tmp_path) as bench:
        bench.store(message.SerializeToString())
        found = {(service, doubt): spans for service, doubt, spans, _ in bench.rows(statement)}
        assert found == {("skewed", doubt): 1 for doubt in ("negative_duration", "future", "past")}
        assert bench.one("SELECT count() FROM otel_traces") == 4
        assert bench.one("SELECT uniq(_partition_id) FROM otel_traces") <= 3
    assert scalars(message.resource_spans[0].scope_spans[0].spans[0].attributes).get(names.TIME_DOUBT) is None
