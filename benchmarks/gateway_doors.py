"""The doors that ``benchmarks.gateway`` compares: none, ours (plain and masking), and LiteLLM's proxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from breakers import rules
from fusebox.config import Config
from gateway.keys import FILE, Keys

GATEWAY_CORE: Final = "0"
LOAD_CORE: Final = "1"
LITELLM: Final = Path(".venv/peers/litellm/bin/litellm").absolute()
AGENT: Final = "bench"
_READY_S: Final = 120.0
_SETTINGS: Final = """
[providers.openai]
kind = "openai"
url = "http://127.0.0.1:{upstream}/v1"
[models.gpt-5-mini]
provider = "openai"
[[limits]]
scope = "agent"
measure = "requests"
limit = 10000000
window_s = 60
[[limits]]
scope = "tenant"
measure = "tokens"
limit = 100000000
window_s = 5  # longer, and the load would use it up
"""
MASKING: Final = '[masking.routes."*"]\nrestore = true\n'


def free_port() -> int:
    """A port nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def process(core: str, command: list[str], port: int, folder: Path, **environment: str) -> Iterator[int]:
    """A pinned process that listens on ``port``; its id."""
    with (folder / f"{port}.log").open("wb") as log:
        running = subprocess.Popen(
            ["taskset", "-c", core, *command], env={**os.environ, **environment}, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
        try:
            _await(port, folder, running)
            yield running.pid
        finally:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                running.wait(10)
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()


def _await(port: int, folder: Path, running: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _READY_S
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if running.poll() is not None or time.monotonic() > deadline:
            said = (folder / f"{port}.log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"nobody listens on {port} (status {running.poll()}): {said}")
        time.sleep(0.1)


@contextmanager
def upstream(folder: Path) -> Iterator[int]:
    """The provider; its port."""
    port = free_port()
    with process(LOAD_CORE, [sys.executable, "-m", "benchmarks.gateway_upstream", str(port)], port, folder):
        yield port


@contextmanager
def redis(folder: Path) -> Iterator[str]:
    """A Redis of our own; its address."""
    port = free_port()
    with process(LOAD_CORE, ["redis-server", "--port", str(port), "--save", ""], port, folder):
        yield f"redis://127.0.0.1:{port}/0"


class Ours:
    """A data folder with one key, on which gateways run."""

    def __init__(self, folder: Path, upstream_port: int, redis_url: str, more: str = "") -> None:
        folder.mkdir()
        self._folder, self._upstream = folder, upstream_port
        (folder / "gateway.toml").write_text(more + _SETTINGS.format(upstream=upstream_port))
        shipped = (Path(rules.__file__).parent / "rules.toml").read_text()  # the load is a loop: look on, do not trip
        (folder / "rules.toml").write_text(shipped.replace('"enforce"', '"observe"').replace('"warn"', '"observe"'))
        self._environment = {
            "FUSEBOX_DATA_DIR": str(folder / "data"), "FUSEBOX_GATEWAY_FILE": str(folder / "gateway.toml"),
            "FUSEBOX_RULES_FILE": str(folder / "rules.toml"), "FUSEBOX_REDIS_URL": redis_url,
            "FUSEBOX_OTLP_ENDPOINT": f"http://127.0.0.1:{upstream_port}",
        }  # fmt: skip
        self.key = Keys(Config(data_dir=folder / "data").data_dir / FILE, "default").add(
            AGENT, team="bench", models=("*",), tools=()
        )[1]

    @contextmanager
    def running(self) -> Iterator[tuple[int, int]]:
        """One gateway; its port and process id."""
        port = free_port()
        command = [sys.executable, "-P", "-m", "fusebox", "service", "gateway"]
        with process(
            GATEWAY_CORE, command, port, self._folder, **self._environment, FUSEBOX_GATEWAY_PORT=str(port)
        ) as pid:
            yield port, pid


@contextmanager
def litellm(folder: Path, upstream_port: int) -> Iterator[tuple[int, str]]:
    """LiteLLM's proxy with one worker and no database; its port and key."""
    port, key = free_port(), "sk-bench"
    config = folder / "litellm.yaml"
    config.write_text(f"""
model_list:
  - model_name: gpt-5-mini
    litellm_params: {{model: openai/gpt-5-mini, api_base: "http://127.0.0.1:{upstream_port}/v1", api_key: none}}
general_settings: {{master_key: {key}}}
litellm_settings: {{telemetry: false}}
""")
    command = [str(LITELLM), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    quiet = {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
    with process(GATEWAY_CORE, command, port, folder, **quiet):
        yield port, key
