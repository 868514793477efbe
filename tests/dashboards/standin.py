"""A control API with a scripted board: what *watch* answers, without agents behind it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fusebox.control import YOU

TOKEN = "op_token_of_the_tests"
NOW = 1_760_000_000.0
Json = dict[str, Any]


def tile(agent: str, state: str = "closed", **changes: Any) -> Json:
    """One circuit as *watch* describes it."""
    return {
        "agent": agent, "state": state, "reason": "", "since": NOW - 300, "mode": "normal", "registered": True,
        "owner": "shop", "team": "support", "actions_per_minute": 12.0, "tokens_per_minute": 3400.0,
        "cost_per_minute": 0.021, "budget_tokens_per_minute": None, "budget_usd_per_minute": None,
        "held": 0, "denied": 0, "warning": None, "risk": "low", "course": [0, 1, 2, 1], **changes,
    }  # fmt: skip


def trip(agent: str, number: int = 1, **changes: Any) -> Json:
    """One trip with six spans of evidence."""
    finding = {
        "agent": agent, "detector": "repetition", "time": NOW - 60, "reason": "the same request six times",
        "action": "open", "score": 6.0, "threshold": 5.0, "spans": [f"{'a' * 32}:{n:016x}" for n in range(6)],
        "repeated": "tool_call tickets.comment × 6", "trace_id": "a" * 32, "id": f"fnd_{number}",
    }  # fmt: skip
    return {
        "id": f"trn_{number}", "agent": agent, "before": "closed", "after": "open", "time": NOW - 60,
        "reason": "the same request six times", "actor": "detector:repetition", "finding": finding, **changes,
    }  # fmt: skip


def approval(agent: str, number: int = 1, *, stage: str = "pending", **changes: Any) -> Json:
    """One approval as *watch* shows it; ``changes`` are of its request."""
    request = {
        "agent": agent, "kind": "tool_call", "operation": "erp.commit", "target": "PO-1",
        "arguments": '{"quantity":200,"supplier":"Acme"}', "contract": "commit(order)", "revision": "r1",
        "guard": "policy", "reason": "orders take a person", "workflow": "wf_1", "trace_id": "a" * 32, "origin": "m",
        **changes,
    }  # fmt: skip
    return {
        "id": f"apr_{number:016x}", "tenant": "default", "request": request, "digest": f"{number:064x}",
        "requester": "host", "allowed": ["ann"], "people": 1, "lasts_s": 900.0, "asked_at": NOW - 60,
        "expires_at": NOW + 840, "stage": stage, "answers": [], "version": 1, "reason": "waits for 1 of ann",
        "live": stage in ("pending", "approved"),
    }  # fmt: skip


class Standin:
    """Holds the board, changes it as ordered, and remembers each order."""

    url: str

    def __init__(self, *tiles: Json, trips: tuple[Json, ...] = ()) -> None:
        self.tiles = list(tiles)
        self.trips = list(trips)
        self.latches: list[Json] = []
        self.reported: list[Json] = []
        self.approvals: list[Json] = []
        self.processes = [
            {"process": f"shop-{n}", "host": "bench", "pid": 100 + n, "agents": ["ticket-helper"], "seen": NOW - n}
            for n in (1, 2)
        ]
        self.received: dict[str, float] = {}
        self.awaited: list[Json] = []
        self.orders: list[tuple[str, Json]] = []
        self.tokens = {TOKEN: "ann"}
        self.tag = ""
        """Of its board: whoever names it is not sent it again."""
        self.earlier = False
        """A release that says the name of whoever asks in the board itself."""
        self.readers: set[str] = set()
        self.refusal = ""
        self.second = ""
        self.silent = False
        self.restarted = False
        """It knows no Command that was issued before."""
        self.unable = ""
        """Why it cannot do what is ordered."""
        self.pause = 0.0
        """Seconds that it takes to answer."""
        self.alerts = {"pending": 0, "delivered": 1, "failed": 0, "undelivered": 0}
        self.unreached: list[Json] = []
        self.freshness: Json = {"stored": NOW - 1, "canary_seconds": 0.4, "incomplete": []}

    def answer(self, path: str, body: Json) -> tuple[int, Json]:
        """Status and body for one call."""
        verb = path.removeprefix("/v1/")
        if self.silent:
            return 503, {"error": "watch is starting"}
        if verb == "board":
            return 200, self.board()
        if verb.startswith("receipts/") and self.restarted:
            return 404, {"error": "watch has issued no Command cmd_1 since it started; see the journal"}
        if verb.startswith("receipts/"):
            return 200, {"expected": self._names(), "received": self.received, "complete": False}
        if verb.startswith("approvals"):
            return self._approvals(verb, body)
        if self.refusal:
            return 409, {"error": self.refusal}
        if self.unable:
            return 503, {"error": self.unable}
        self.orders.append((verb, body))
        getattr(self, f"_{verb}")(body)
        return 200, {"command": "cmd_1", "kill": "kill_1", "lifted": [], "expected": self._names()}

    def board(self) -> Json:
        """The whole board."""
        return {
            "time": NOW, "watermark": NOW - 1, "freshness": self.freshness, "circuits": self.tiles,
            "processes": self.processes, "latches": self.latches, "trips": self.trips, "counters": {},
            "reported": self.reported, "alerts": self.alerts, "unreached": self.unreached,
            "receipts": self.awaited,
        }  # fmt: skip

    def _approvals(self, verb: str, body: Json) -> tuple[int, Json]:
        if verb == "approvals":
            short = [{**row, "request": {**row["request"], "arguments": None}} for row in self.approvals]
            return 200, {"approvals": short, "time": NOW}
        if verb != "approvals/answer":
            return 200, next(row for row in self.approvals if verb.endswith(row["id"]))
        if self.refusal:
            return 409, {"error": self.refusal}
        self.orders.append((verb, body))
        (row,) = [row for row in self.approvals if row["id"] == body["approval"]]
        row.update(stage="approved" if body["approve"] else "denied", live=body["approve"], reason=body["reason"])
        return 200, {"approval": row["id"], "stage": row["stage"], "reason": row["reason"]}

    def _kill(self, body: Json) -> None:
        scope, reason = body["scope"], body["reason"]
        self.latches.append({"id": "kill_1", "scope": scope, "reason": reason, "operator": "operator:ann", "time": NOW})

    def _resume(self, body: Json) -> None:
        self.latches = [latch for latch in self.latches if latch["scope"] != body["scope"]]

    def _mode(self, body: Json) -> None:
        for each in self.tiles:
            if each["agent"] == body["agent"]:
                each["mode"] = body["mode"]

    def _names(self) -> list[str]:
        return [str(process["process"]) for process in self.processes]


@contextmanager
def running(standin: Standin) -> Iterator[Standin]:
    """``standin`` behind a real port; ``standin.url`` says which."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({})

        def do_POST(self) -> None:
            standin.second = (self.headers.get("second-authorization") or "").removeprefix("Bearer ")
            self._reply(json.loads(self.rfile.read(int(self.headers["content-length"]))))

        def _reply(self, body: Json) -> None:
            token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            known = token in standin.tokens or (token in standin.readers and self.command == "GET")
            time.sleep(standin.pause)
            status, answer = standin.answer(self.path, body) if known else (401, {"error": "no such token"})
            if standin.earlier and known:
                answer["you"] = standin.tokens[token]
            seen = known and standin.tag and self.headers.get("if-none-match") == standin.tag
            payload = b"" if seen else json.dumps(answer).encode()
            self.send_response(304 if seen else status)
            self.send_header("content-length", str(len(payload)))
            if not standin.earlier:
                self.send_header("etag", standin.tag)
                self.send_header(YOU, standin.tokens.get(token, "dashboard"))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    standin.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield standin
    finally:
        server.shutdown()
        server.server_close()
