"""Which settings a statement may bring, in the URL or in its ``SETTINGS`` clause.

Three kinds: those that say how a result looks, which are passed on; limits, which may be lowered and never raised; and
what clients send as a matter of course and changes nothing about a read. Everything else is refused as a server refuses
it to a user whose profile is ``readonly``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from collector.sql.errors import BAD_ARGUMENTS, READONLY, StatementRefused

LIMITS: Final[Mapping[str, int]] = {
    "max_execution_time": 5,
    "max_memory_usage": 512 << 20,
    "max_result_rows": 1_000_000,
    "max_result_bytes": 256 << 20,
    "max_ast_elements": 10_000,
    "max_expanded_ast_elements": 50_000,
    "max_threads": 2,
    "max_block_size": 65_409,
    "max_query_size": 1 << 20,
    "max_subquery_depth": 50,
    "max_recursive_cte_evaluation_depth": 1000,
    "max_columns_to_read": 1000,
    "max_temporary_columns": 2000,
}
"""The most a statement may use: seconds, bytes, rows, nodes, threads."""
FIXED: Final[Mapping[str, str]] = {"timeout_overflow_mode": "throw", "max_bytes_before_external_sort": "0"}
"""What no statement may change."""
_OVERFLOW: Final = {"result_overflow_mode": "throw", "read_overflow_mode": "throw"}

WITHOUT_EFFECT: Final = frozenset(
    {
        "session_id", "session_timeout", "session_check", "quota_key", "role", "compress", "decompress",
        "enable_http_compression",
        "http_zlib_compression_level", "wait_end_of_query", "buffer_size", "http_response_buffer_size",
        "send_progress_in_http_headers", "http_headers_progress_interval_ms", "client_protocol_version",
        "add_http_cors_header", "log_queries", "log_comment", "http_write_exception_in_output_format",
        "cancel_http_readonly_queries_on_client_close", "http_native_compression_disable_checksumming_on_decompress",
    }
)  # fmt: skip
_LOWERED: Final = frozenset({"max_rows_to_read", "max_bytes_to_read", "max_rows_to_group_by", "max_rows_to_sort"})
_LOOKS: Final = re.compile(
    r"output_format_\w+|date_time_output_format|format_csv_delimiter|join_use_nulls|group_by_use_nulls|extremes|"
    r"session_timezone|prefer_column_name_to_alias|union_default_mode|intersect_default_mode|except_default_mode|"
    r"use_client_time_zone|empty_result_for_aggregation_by_empty_set|result_overflow_mode|read_overflow_mode|"
    r"short_circuit_function_evaluation|optimize_aggregation_in_order|transform_null_in|cast_keep_nullable|limit|offset|"
    r"final|count_distinct_implementation|"
    r"joined_subquery_requires_alias|any_join_distinct_right_table_keys|allow_suspicious_low_cardinality_types"
)
_SCHEMA: Final = "output_format_schema"
"""How the names of those begin that would write a file."""
_NUMBER: Final = re.compile(r"\d{1,19}(?:\.\d{1,9})?")
_VALUE: Final = re.compile(r"[^\x00-\x1f\\']{0,200}|\t")


_LISTED: Final = re.compile(r"(SELECT [^']* FROM )system\.settings((?: [^']*)?)")
_LIST: Final = """(SELECT * REPLACE (
    if(match(name, '^(?:{names})$') AND NOT startsWith(name, '{schema}'), 0, readonly) AS readonly)
    FROM system.settings)"""


def told(statement: str) -> str:
    """A statement on ``system.settings``, so that it says which settings may be brought here: clients go by that, and
    the engine, which is told them beforehand, would say none. Any other statement as it is.

    Args:
        statement: canonical, and permitted.
    """
    found = _LISTED.fullmatch(statement)
    names = "|".join((_LOOKS.pattern, *sorted({*LIMITS, *_LOWERED, *WITHOUT_EFFECT})))
    return f"{found[1]}{_LIST.format(names=names, schema=_SCHEMA)} AS settings{found[2]}" if found else statement


def judge(asked: Mapping[str, str]) -> dict[str, str]:
    """The settings to set, of those that were asked for.

    Raises:
        StatementRefused: one may not be changed, or its value is none.
    """
    return {name: _judged(name, value) for name, value in asked.items() if name not in WITHOUT_EFFECT}


def complete(judged: Mapping[str, str]) -> dict[str, str]:
    """Everything to set before a statement runs; ``readonly`` comes last, for nothing can be set after it."""
    limits = {name: str(most) for name, most in LIMITS.items()}
    wanted = {name: value for name, value in judged.items() if name != "readonly"}
    return {**limits, **_OVERFLOW, **wanted, **FIXED, "readonly": "1"}


def _judged(name: str, value: str) -> str:
    if name == "readonly" and value in ("1", "2"):
        return "1"
    if name in LIMITS or name in _LOWERED:
        return _lowered(name, value)
    if not _LOOKS.fullmatch(name) or name.startswith(_SCHEMA):
        raise StatementRefused(f"Cannot modify {name[:100]!r} setting in readonly mode", READONLY)
    if not _VALUE.fullmatch(value):
        raise StatementRefused(f"{value[:50]!r} is no value of {name}", BAD_ARGUMENTS)
    return value


def _lowered(name: str, value: str) -> str:
    """Zero means "no limit" to the engine, and ours to us."""
    if not _NUMBER.fullmatch(value):
        raise StatementRefused(f"{value[:50]!r} is no value of {name}", BAD_ARGUMENTS)
    most = LIMITS.get(name)
    wanted = float(value)
    return value if most is None or 0 < wanted < most else str(most)
