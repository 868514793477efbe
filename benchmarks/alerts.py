"""Do alerts arrive, once, and soon, while every receiver fails at random?

*watch* as ``fusebox up`` starts it, with two webhooks and a mail server as sinks; agents report, 1,000 a minute, that
their circuit opened. A trip is timed from just before its report to when the first receiver took an alert that names
it, by one clock: ``first_p99_ms`` with receivers that are well, ``storm_first_p99_ms`` in a whole minute in which three
in ten attempts fail: the receiver answers 503, hangs up before it has read anything, hangs for seconds, or takes the
alert and hangs up instead of answering. Then the receivers recover, and one more trip shows whether everything comes.

A receiver knows a retry by its id (``webhook-id``, ``Message-ID``); ``duplicates`` is the worst pair of trip and sink:
under how many ids beyond the first it was told. ``lost`` are pairs of trip and sink that never came together.
``messages`` is what the busiest sink got in the storm, instead of one for each trip.
"""

from __future__ import annotations

import argparse
import asyncio
import http.server
import json
import random
import shutil
import socket
import tempfile
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from pathlib import Path
from typing import Any, Final

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session
from rich.progress import Progress

from benchmarks.killing import until
from benchmarks.report import Report
from benchmarks.trip import p99
from fusebox.config import PREFIX, Config
from fusebox.control import ControlClient
from fusebox.rundir import lookup
from fusebox.supervisor import Supervisor
from fusebox.webhooks import new_key_pair, new_secret

RATE: Final = 1_000 / 60
HANG_S: Final = 2.0
MOODS: Final = {"take": 0.7, "busy": 0.1, "hang up": 0.08, "hang": 0.04, "take and hang up": 0.08}
PATIENCE_S: Final = 120.0


class Ward:
    """What all receivers got, and how badly they feel."""

    def __init__(self, seed: int) -> None:
        self._random, self._lock = random.Random(seed), threading.Lock()
        self.ill = False
        self.first: dict[str, float] = {}
        self.ids: dict[tuple[str, str], set[str]] = defaultdict(set)
        self.messages: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()

    def mood(self) -> str:
        with self._lock:
            mood = self._random.choices(list(MOODS), list(MOODS.values()))[0] if self.ill else "take"
            if mood != "take":
                self.failures[mood] += 1
        return mood

    def took(self, sink: str, id: str, text: str) -> None:
        """A receiver has the message; agents are found by their names."""
        now = time.monotonic()
        with self._lock:
            self.messages[sink] += 1
            for agent in {word for word in text.replace('"', " ").split() if word.startswith("storm-")}:
                self.ids[sink, agent.rstrip(":,;.")].add(id)
                self.first.setdefault(agent.rstrip(":,;."), now)

    def came(self, sinks: list[str], agents: list[str]) -> bool:
        return all(self.ids.get((sink, agent)) for sink in sinks for agent in agents)


class Hook(http.server.ThreadingHTTPServer):
    """A webhook receiver."""

    daemon_threads = True

    def __init__(self, name: str, ward: Ward) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.name, self.ward = name, ward
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def handle_error(self, request: Any, client_address: Any) -> None:
        return


class _Answer(http.server.BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        mood = self.server.ward.mood()
        if mood == "hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        if mood == "hang":
            time.sleep(HANG_S)
        if mood in ("take", "take and hang up"):
            self.server.ward.took(self.server.name, str(self.headers["webhook-id"]), body)
        if mood == "take and hang up":
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(200 if mood == "take" else 503)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        return


class Mailbox:
    """What a mail server does with a mail."""

    def __init__(self, ward: Ward) -> None:
        self._ward = ward

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:
        mood = self._ward.mood()
        if mood == "hang":
            await asyncio.sleep(HANG_S)
        if mood in ("take", "take and hang up"):
            mail = message_from_bytes(bytes(envelope.content or b""))
            text = bytes(mail.get_payload(decode=True) or b"").decode()
            self._ward.took("mail", str(mail["Message-ID"]).strip(), text)
        if mood in ("hang up", "take and hang up") and server.transport is not None:
            server.transport.abort()
        return "250 OK" if mood == "take" else "451 try again"


class Hospital:
    """*watch* and its receivers."""

    def __init__(self, folder: Path, ward: Ward) -> None:
        self.ward, self.sinks = ward, ["pager", "chat", "mail"]
        self._hooks = [Hook("pager", ward), Hook("chat", ward)]
        self._mail = Controller(Mailbox(ward), hostname="127.0.0.1", port=_free_port())
        self._mail.start()
        rules = folder / "alerts.toml"
        rules.write_text(self._rules())
        settings = {"data_dir": str(folder / "data"), "control_port": "0", "canary_s": "0", "alerts_file": str(rules)}
        self._config = Config(**settings)  # type: ignore[arg-type]
        environment = {PREFIX + name.upper(): value for name, value in settings.items()}
        self._supervisor = Supervisor(self._config, ["watch"], environment)
        self._supervisor.start()
        info = until(lambda: lookup(self._config.data_dir, "watch"), "watch is ready", 60)
        token = (self._config.data_dir / "agent.token").read_text().strip()
        self._client = ControlClient(info["url"], token, timeout=30)

    def _rules(self) -> str:
        made = ""
        for hook, key in zip(self._hooks, (new_secret(), new_key_pair()[0]), strict=True):
            url, here = f"http://127.0.0.1:{hook.server_port}/", '["127.0.0.0/8"]'
            made += f'[sinks.{hook.name}]\ntype = "webhook"\nurl = "{url}"\nkeys = ["{key}"]\nallow_networks = {here}\n'
        return made + (
            f'[sinks.mail]\ntype = "email"\nhost = "127.0.0.1"\nport = {self._mail.port}\ntls = "none"\n'
            'sender = "fusebox@example.com"\nto = ["oncall@example.com"]\n'
        )

    def trip(self, agent: str) -> float:
        """Report that an agent's circuit opened; when that began."""
        began = time.monotonic()
        transition = {
            "agent": agent, "before": "closed", "after": "open", "time": time.time(), "reason": f"{agent} loops",
            "actor": "detector:cycle", "finding": None, "tenant": "default", "id": f"trn_{agent}",
        }  # fmt: skip
        self._client.send("reports", {"process": f"p_{agent}", "transition": transition})
        return began

    def stop(self) -> None:
        self._supervisor.stop()
        self._mail.stop()
        for hook in self._hooks:
            hook.shutdown()
            hook.server_close()


def storm(hospital: Hospital, agents: list[str], progress: Progress) -> dict[str, float]:
    """Trips at their rate, whatever each takes; when each began."""
    task = progress.add_task("trips", total=len(agents))
    began: dict[str, float] = {}
    start = time.monotonic()

    def one(agent: str) -> None:
        began[agent] = hospital.trip(agent)
        progress.advance(task)

    with ThreadPoolExecutor(16) as pool:
        for number, agent in enumerate(agents):
            time.sleep(max(0.0, start + number / RATE - time.monotonic()))
            pool.submit(one, agent)
    return began


def measure_first(report: Report, hospital: Hospital, progress: Progress, count: int) -> None:
    """Receivers that are well, at the rate of a storm."""
    agents = [f"storm-calm{number}" for number in range(count)]
    began = storm(hospital, agents, progress)
    await_all(hospital, agents)
    report.add("first_p99_ms", p99(firsts(hospital.ward, began)), ("<=", 2000.0))


def measure_storm(report: Report, hospital: Hospital, progress: Progress, count: int) -> None:
    ward, agents = hospital.ward, [f"storm-{number}" for number in range(count)]
    ward.messages.clear()
    ward.ill = True
    began = storm(hospital, agents, progress)
    ward.ill = False
    hospital.trip("storm-last")
    await_all(hospital, [*agents, "storm-last"])
    pairs = [(sink, agent) for sink in hospital.sinks for agent in agents]
    report.add("lost", sum(not ward.ids.get(pair) for pair in pairs), ("<=", 0.0))
    report.add("duplicates", max(len(ward.ids.get(pair, ())) - 1 for pair in pairs), ("<=", 1.0))
    report.add("storm_first_p99_ms", p99(firsts(ward, began)), ("<=", 5000.0))
    report.add("trips", count)
    report.add("messages", max(ward.messages.values()), ("<=", max(20.0, count / 5)))
    report.add("failed_attempts", sum(ward.failures.values()), (">=", 1.0))
    print(json.dumps({"failures": dict(ward.failures), "messages": dict(ward.messages)}))


def await_all(hospital: Hospital, agents: list[str]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline and not hospital.ward.came(hospital.sinks, agents):
        time.sleep(0.1)


def firsts(ward: Ward, began: dict[str, float]) -> list[float]:
    """Milliseconds from each trip to the first receiver; what never came counts as the patience of this benchmark."""
    return [(ward.first.get(agent, at + PATIENCE_S) - at) * 1e3 for agent, at in began.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50 and 200 trips instead of 300 and 1,000")
    parser.add_argument("--seed", type=int, default=7, help="of the failures (7)")
    args = parser.parse_args()
    report, folder = Report("alerts"), Path(tempfile.mkdtemp(prefix="fusebox-alerts-"))
    hospital = Hospital(folder, Ward(args.seed))
    try:
        with Progress() as progress:
            measure_first(report, hospital, progress, 50 if args.quick else 300)
            measure_storm(report, hospital, progress, 200 if args.quick else 1_000)
    finally:
        hospital.stop()
        shutil.rmtree(folder, ignore_errors=True)
    report.show()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


if __name__ == "__main__":
    main()
