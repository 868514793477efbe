"""Apart: a bundle is tried by a process of its own, because the interpreter may end the process it runs in.

The child reads ``{"modules", "data", "queries", "question"}`` as JSON and writes the answers as a JSON array:
``{"document": …}`` (null: undefined) or ``{"error": …}`` each. It runs nothing but the interpreter.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

from governance.policy.ruling import BadPolicy, NotTried, Question

TIMEOUT_S: Final = 30.0
_MAX_SAID: Final = 300


def run_apart(
    modules: Mapping[str, str], data: Mapping[str, Any], queries: Sequence[str], question: Question
) -> list[object]:
    """The documents that queries have for a question; None for one that is undefined.

    Raises:
        BadPolicy: a query cannot be answered, or the interpreter broke off.
    """
    answers = try_apart(modules, data, queries, question)
    for answer in answers:
        if "error" in answer:
            raise BadPolicy(str(answer["error"]))
    return [answer["document"] for answer in answers]


def try_apart(
    modules: Mapping[str, str], data: Mapping[str, Any], queries: Sequence[str], question: Question
) -> list[dict[str, Any]]:
    """The child's answers, errors included.

    Raises:
        NotTried: no process could be had, or it took too long.
        BadPolicy: the interpreter broke off.
    """
    told = {"modules": dict(modules), "data": dict(data), "queries": list(queries), "question": dict(question)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "governance.policy.child"], input=json.dumps(told), capture_output=True,
            text=True, timeout=TIMEOUT_S, check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise NotTried(f"the policy was not evaluated within {TIMEOUT_S:.0f} s") from None
    except OSError as error:
        raise NotTried(f"the policy cannot be tried: {error}") from None
    if done.returncode:
        said = " ".join(done.stderr.split())[-_MAX_SAID:]
        raise BadPolicy(f"the interpreter broke off at this policy: {said}")
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers
