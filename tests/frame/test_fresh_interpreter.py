"""What an agent process loads: nothing heavy, and nothing of ours that it does not need."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "clickhouse_connect", "chdb", "streamlit", "uvicorn", "aiohttp", "starlette", "grpc", "pandas", "numpy",
    "genai_prices",
)  # fmt: skip
OURS = ("collector", "gateway", "dashboards", "examples")


@pytest.mark.parametrize(
    "statement",
    [
        "from rabbitmq import Agent",
        "from rabbitmq import Agent, Runtime; from fusebox.config import Config; Runtime.from_config(Config())",
        "import fusebox.cli",
        "import breakers.panel, breakers.circuit, governance.audit",
    ],
)
def test_an_agent_process_loads_nothing_heavy(statement: str, tmp_path: Path) -> None:
    script = f"import sys; {statement}; print(*{{m.partition('.')[0] for m in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", script], stdout=subprocess.PIPE, text=True, check=True, cwd=tmp_path
    )
    assert set(done.stdout.split()).isdisjoint({*HEAVY, *OURS})
