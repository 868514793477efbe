"""How circuits behave: the sections ``[circuit]`` and ``[fleet]`` of the rules file. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass

from fusebox.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CircuitSettings:
    """One agent's circuit.

    Args:
        open_s: open time of a first trip; each further one in a row multiplies it by ``growth``, up to ``max_open_s``.
        fail_max: consecutive failed handler runs in one process that open the circuit.
        probes: handler runs that half-open admits, over all processes; as many successes close the circuit.
        probe_lease_s: how long a probe that no process renews holds its permit.
        keep_s: how long a process goes on with the last word it heard on a closed circuit of a high-risk agent.

    Raises:
        ConfigError: a value makes no sense.
    """

    open_s: float = 60.0
    growth: float = 2.0
    max_open_s: float = 3600.0
    fail_max: int = 10
    probes: int = 1
    probe_lease_s: float = 60.0
    keep_s: float = 120.0

    def __post_init__(self) -> None:
        above_0 = min(self.open_s, self.fail_max, self.probes, self.probe_lease_s, self.keep_s) > 0
        if not (above_0 and self.open_s <= self.max_open_s and self.growth >= 1):
            raise ConfigError(f"{self}: every value must be above 0, open_s ≤ max_open_s, growth ≥ 1")


@dataclass(frozen=True, slots=True)
class FleetSettings:
    """All circuits together.

    Args:
        max_share: the share of the fleet (above 0, up to 1) that may be open at once by what detectors found live.
        min_fleet: in a fleet of fewer agents the share does not count.

    Raises:
        ConfigError: a value makes no sense.
    """

    max_share: float = 0.5
    min_fleet: int = 10

    def __post_init__(self) -> None:
        if not (0 < self.max_share <= 1 and self.min_fleet > 0):
            raise ConfigError(f"{self}: max_share must be above 0 and at most 1, min_fleet above 0")
