"""Interpreter: rego-cpp by way of ``regopy``, with one query compiled.

Three habits of regopy 1.5 are settled here. ``set_input`` spoils strings with quotes, backslashes or NUL, so questions
go in as JSON text. Of that it compares escapes as they are written, so letters go in as letters, as policies have them.
And it takes its own errors for JSON. A fourth, that it ends the process on some modules, is why a bundle is first tried
by a process of its own (:mod:`governance.policy.apart`), which loads this module and little else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from governance.policy.ruling import BadPolicy, Question


class Compiled:
    """A query over modules and data. Not thread-safe.

    Raises:
        BadPolicy: it does not compile, or ``regopy`` is not installed.
    """

    def __init__(self, modules: Mapping[str, str], data: Mapping[str, Any], query: str) -> None:
        try:
            from regopy import Interpreter
            from regopy.rego_shared import LogLevel, RegoError
        except ImportError as error:
            raise BadPolicy("a policy folder needs regopy: pip install 'agent-fusebox[policy]'") from error
        self._interpreter = Interpreter()
        self._interpreter.log_level = LogLevel.NONE
        try:
            for name, text in modules.items():
                self._interpreter.add_module(name, text)
            self._interpreter.add_data_json(_json(data))
            self._query = self._interpreter.build(query)
        except RegoError as error:
            raise BadPolicy(_short(str(error))) from error

    def answer(self, question: Question) -> object:
        """The document that the query has; None when it is undefined.

        Raises:
            BadPolicy: the evaluation broke off, for instance because two rules contradict each other.
        """
        self._interpreter.set_input_term(_json(question))
        try:
            output = self._interpreter.query_bundle(self._query)
        except ValueError as error:
            raise BadPolicy("the policy cannot be evaluated: a name is not known, or a call is wrong") from error
        if not output.ok():
            raise BadPolicy("the policy contradicts itself: two of its rules give different answers")
        expressions = output.results[0].expressions if output.results else []
        return expressions[0] if expressions else None


def _json(value: object) -> str:
    """JSON in which only what has to be is escaped: quotes, control characters, halves of surrogates."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _short(text: str) -> str:
    """The messages in an error of rego-cpp, which is a tree, and the module they are about."""
    said = re.findall(r"\(errormsg \d+:([^)]*)\)", text) or [text]
    where = re.search(r"\(error \d+:([^|]*)\|", text)
    return "; ".join(dict.fromkeys(said))[:500] + (f" (in {where[1]})" if where else "")
