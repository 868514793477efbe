"""Trials: the tests that a policy folder brings along, every ``test_…`` rule of its ``*_test.rego``.

A test passes when its rule is true. Tests call the policy's functions with whatever they like; ``with input as`` works
in OPA, but ends rego-cpp 1.5 on many policies, which is then said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from governance.policy.apart import try_apart
from governance.policy.bundle import Bundle
from governance.policy.ruling import BadPolicy

_PACKAGE: Final = re.compile(r"^package\s+([\w.]+)", re.MULTILINE)
_TEST: Final = re.compile(r"^(test_\w+)\b", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Trial:
    """How one test went."""

    file: str
    name: str
    passed: bool
    why: str = ""


def run_trials(bundle: Bundle) -> list[Trial]:
    """Run every test.

    Raises:
        BadPolicy: the interpreter broke off, or there is no test.
    """
    named = list(_tests(bundle))
    if not named:
        raise BadPolicy("there are no tests: rules called test_… in a file called …_test.rego")
    queries = [f"data.{package}.{name}" for _, package, name in named]
    answers = try_apart({**bundle.modules, **bundle.tests}, bundle.data, queries, {})
    return [_trial(file, name, answer) for (file, _, name), answer in zip(named, answers, strict=True)]


def _trial(file: str, name: str, answer: dict[str, object]) -> Trial:
    if "error" in answer:
        return Trial(file, name, False, str(answer["error"]))
    passed = answer["document"] is True
    return Trial(file, name, passed, "" if passed else "it is not true")


def _tests(bundle: Bundle) -> Iterator[tuple[str, str, str]]:
    """File, package and rule of each test; a rule with several bodies is one."""
    for file, text in bundle.tests.items():
        package = _PACKAGE.search(text)
        if package:
            yield from ((file, package[1], name) for name in dict.fromkeys(_TEST.findall(text)))
