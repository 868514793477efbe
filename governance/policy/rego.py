"""The embedded engine: a policy folder, compiled once.

An unknown name compiles, and is undefined: so the trial asks a question, and wants a decision.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping
from typing import Any, Final

from governance.policy.apart import run_apart
from governance.policy.bundle import REGISTRY, Bundle
from governance.policy.interpreter import Compiled
from governance.policy.ruling import ENTRYPOINT, VARYING, Question, Ruling, ruling_of

QUERY: Final = f"data.{ENTRYPOINT.replace('/', '.')}"
SAMPLE: Final[Question] = {
    "agent": "nobody", "tenant": "default", "team": "", "risk": "normal", "roles": [], "action": "tool_call",
    "resource": "nothing", "target": "", "arguments": {}, "workflow": "", "environment": "", "facts": {},
}  # fmt: skip
"""A question with every field, which any policy must be able to answer."""
_WHOLE: Final = re.compile(r"\binput\b(?!\.\w)")
_FIELD: Final = re.compile(r"\binput\.(\w+)")


class RegoEngine:
    """Answers from a bundle.

    Args:
        registry: what policies read as ``data.registry``.

    Raises:
        BadPolicy: it does not compile, or its answer to a question is no decision.
    """

    remote = False

    def __init__(self, bundle: Bundle, registry: Mapping[str, Any]) -> None:
        data = {**bundle.data, REGISTRY: registry}
        (document,) = run_apart(bundle.modules, data, [QUERY], SAMPLE)
        self.revision = bundle.revision
        ruling_of(document, self.revision)
        self.reads = reads_of(bundle)
        self._compiled = Compiled(bundle.modules, data, QUERY)
        self._lock = threading.Lock()

    def decide(self, question: Question) -> Ruling:
        """The answer.

        Raises:
            BadPolicy: it is none.
        """
        with self._lock:
            document = self._compiled.answer(question)
        return ruling_of(document, self.revision)

    def close(self) -> None:
        """Nothing to give back."""


def reads_of(bundle: Bundle) -> frozenset[str]:
    """Which varying fields a policy may look at, by its text; all of them when it passes the whole input on."""
    text = "\n".join(bundle.modules.values())
    return VARYING if _WHOLE.search(text) else VARYING.intersection(_FIELD.findall(text))
