"""What operators write about the filter.

::

    [filter]
    hosts = ["example.com", ".example.com"]   # hosts that links may lead to
    unknown_links = "report"                  # report, hold or deny
    answers = "deny"                          # SQL in answers beyond the agent's grants: report, hold or deny
    hold_at = 0.9                             # content from outside with this score waits for a person; left out: never
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway.filter.threats import Weight

_NAME: Final = re.compile(r"\.?[\w-]{1,63}(\.[\w-]{1,63})*")


class FilterSettings(BaseModel):
    """The section ``[filter]``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hosts: tuple[str, ...] = ()
    unknown_links: Weight = Weight.REPORT
    answers: Weight = Weight.DENY
    hold_at: float | None = Field(default=None, gt=0, le=1)

    @field_validator("hosts")
    @classmethod
    def _bare_hosts(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _is_host(host):
                raise ValueError(
                    f"hosts: {host!r} is no host in lower case, without scheme and port; .example.com stands for all "
                    "below it"
                )
        return hosts


def _is_host(host: str) -> bool:
    """True for a name, or a beginning dot and the name above all that are meant, or an address as links are read."""
    try:
        return str(ipaddress.ip_address(host)) == host
    except ValueError:
        return host == host.lower() and _NAME.fullmatch(host) is not None
