"""Data goes forward, imports go backward: the table of ``tools.layers`` holds."""

import re

import pytest

from tools.layers import ALLOWED, NARROWED, ROOT, cycle, imports

EVERY = list(imports())


def package(module: str) -> str:
    return module.partition(".")[0]


def test_no_package_imports_what_the_table_does_not_allow() -> None:
    wrong = [i for i in EVERY if package(i.target) not in (package(i.module), *ALLOWED[package(i.module)])]
    assert not wrong


@pytest.mark.parametrize(("pair", "only"), NARROWED.items())
def test_narrowed_imports_stay_narrow(pair: tuple[str, str], only: tuple[str, ...]) -> None:
    across = [i for i in EVERY if (package(i.module), package(i.target)) == pair]
    allowed = tuple(f"{module}." for module in only)
    assert not [i for i in across if not f"{i.target}.".startswith(allowed)]


def test_no_files_import_each_other_in_a_circle() -> None:
    assert cycle((i.module, i.target) for i in EVERY if i.at_load) == []


def test_no_packages_import_each_other_in_a_circle() -> None:
    assert cycle((p, allowed) for p in ALLOWED for allowed in ALLOWED[p]) == []


def test_a_circle_would_be_found() -> None:
    assert cycle([("a", "b"), ("b", "c"), ("c", "b")]) == ["b", "c", "b"]
    assert cycle([("a", "b"), ("a", "c"), ("b", "c")]) == []


def test_the_scan_sees_the_packages() -> None:
    assert {package(i.module) for i in EVERY} >= {"breakers", "rabbitmq", "collector"}


def test_the_table_in_the_docs_is_this_one() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)/` \|.*\| ([^|]+) \|$", text, re.MULTILINE))
    assert rows.keys() == ALLOWED.keys()
    for name, allowed in ALLOWED.items():
        expected = {"nothing of ours"} if not allowed else set(allowed)
        told = {part.strip() for part in re.sub(r"\(.*?\)", "", rows[name]).split(",")}
        assert told == expected or told == {"anything public"}, name
