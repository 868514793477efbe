"""Whether a span costs as much to keep when the tables hold 30 million as when they hold one.

*keep*'s own route writes the same batches (16 requests of 512 spans, fsynced, all views and indexes) into
``benchmarks.warehouse``'s tables at both sizes. The cost is the processor time of the whole process, merges included:
the tables are settled before, the batches are many enough for several rounds of merges, and what these leave to do is
waited for and counted. With ``--data DIR`` the large tables are kept there, and grow on from what is there.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Final

from benchmarks.corpus import SPANS
from benchmarks.report import Report
from benchmarks.warehouse import Warehouse, records, warehouse

_REQUESTS: Final = 16


def cost(data: Warehouse, made: list[bytes], batches: int) -> float:
    """Microseconds of processor time a span."""
    before = time.process_time()
    for number in range(batches):
        first = number * _REQUESTS % len(made)
        data.store(f"{time.time_ns()}-{number}", made[first : first + _REQUESTS])
    data.settle()
    return (time.process_time() - before) / (batches * _REQUESTS * SPANS) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="from 0.2 to 2 million spans, which takes a minute")
    parser.add_argument("--data", type=Path, help="a folder to keep the large tables in; 6 GB")
    args = parser.parse_args()
    few, many = (200_000, 2_000_000) if args.quick else (1_000_000, 30_000_000)
    batches = 16 if args.quick else 80
    made = records(64, seed=6)
    report = Report("scale")
    costs = []
    for rows, folder in ((few, None), (many, args.data)):
        with warehouse(folder) as data:
            data.grow(rows)
            costs.append(cost(data, made, batches))
            print(f"at {data.rows() / 1e6:.1f} million spans: {costs[-1]:.1f} µs a span")
    report.add("cost_growth_30m_vs_1m", costs[1] / costs[0], ("<=", 1.15))
    report.show()


if __name__ == "__main__":
    main()
