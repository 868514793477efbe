"""The process that tries bundles; see :mod:`governance.policy.apart`."""

from __future__ import annotations

import json
import sys
from typing import Any

from governance.policy.interpreter import Compiled
from governance.policy.ruling import BadPolicy


def main() -> None:
    """Read one job from stdin, write its answers to stdout."""
    job = json.load(sys.stdin)
    print(json.dumps([_answer(job, query) for query in job["queries"]]))


def _answer(job: dict[str, Any], query: str) -> dict[str, Any]:
    try:
        return {"document": Compiled(job["modules"], job["data"], query).answer(job["question"])}
    except BadPolicy as error:
        return {"error": str(error)}


if __name__ == "__main__":
    main()
