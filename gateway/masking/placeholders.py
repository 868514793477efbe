"""What stands in a value's place: ``<EMAIL_7K3QX2PD>``, or ``<EMAIL:…>`` when it is hashed.

The eight letters are 40 bits of an HMAC-SHA256 over tenant, workflow, type and the value without its spelling (case of
an e-mail address, blanks and dashes of a number). So a value has the same placeholder all through a workflow, in every
process and with no shared state, another one in the next workflow, and none that can be computed without the key. A
hash leaves the workflow out and has 80 bits.
"""

from __future__ import annotations

import base64
import hmac
import re
from dataclasses import dataclass
from typing import Any, Final

from gateway.masking.escapes import bare

_NUMBERS: Final = frozenset({"CARD", "SSN", "PHONE"})
PLACEHOLDER: Final = re.compile(r"<[A-Z]{2,20}_[A-Z2-7]{8}>")
_IDS: Final = frozenset({"id", "call_id", "tool_call_id", "tool_use_id"})
"""Fields that say which call of a tool a result is of."""
_TOLD: Final = frozenset({"input", "arguments", "output"})


@dataclass(frozen=True, slots=True)
class Placeholders:
    """Makes placeholders for one workflow.

    Args:
        key: the gateway's masking key.
        tenant: whose.
        workflow: the workflow's id, or something unique to the call when it has none.
    """

    key: bytes
    tenant: str
    workflow: str

    def mask(self, type_: str, value: str) -> str:
        """The workflow's placeholder for a value."""
        return f"<{type_}_{self._digest(self.workflow, type_, value)[:8]}>"

    def hash(self, type_: str, value: str) -> str:
        """The tenant's hash of a value."""
        return f"<{type_}:{self._digest('', type_, value)[:16]}>"

    def number(self, value: int) -> int:
        """A number for one that looks like a value, the same in every workflow of the tenant: what stands for a seed
        must be a seed, and the same one whenever somebody does it all again."""
        return int.from_bytes(self._keyed("", "number", str(value))[:4]) >> 1

    def _digest(self, workflow: str, type_: str, value: str) -> str:
        return base64.b32encode(self._keyed(workflow, type_, _plain(type_, value))).decode()

    def _keyed(self, *parts: str) -> bytes:
        data = "\0".join((self.tenant, *parts))
        return hmac.digest(self.key, data.encode("utf-8", "surrogatepass"), "sha256")


def _plain(type_: str, value: str) -> str:
    """A value without its spelling."""
    stripped = bare(value)
    value = stripped.text if stripped is not None else value
    if type_ in _NUMBERS:
        return "".join(c for c in value if c.isdigit())
    return value if type_ == "SECRET" else re.sub(r"\s+", "" if type_ == "IBAN" else " ", value).casefold()


def in_ids(value: Any) -> Any:
    """A masked request whose calls still fit their results: APIs refuse an id with ``<`` in it, so ``CARD_7K3QX2PD``
    stands there. What a tool is told, and what it answered, may have an ``id`` of its own, and is left."""
    if isinstance(value, dict):
        return {name: _in_field(name, each) for name, each in value.items()}
    return [in_ids(each) for each in value] if isinstance(value, list) else value


def _in_field(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return PLACEHOLDER.sub(lambda found: found[0][1:-1], value) if name in _IDS else value
    return value if name in _TOLD and isinstance(value, dict) else in_ids(value)
