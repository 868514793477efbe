"""Seeded traffic: loops that must be stopped and work that must not be, as Events with real fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random

from fusebox.fingerprint import (
    error_hash,
    exact_hash,
    is_waiting,
    literal_hash,
    request_hash,
    result_hash,
    text_of,
)
from fusebox.records import ActionKind, Event
from fusebox.simhash import simhash

START = 1_760_000_000.0
_WORDS = (
    "order", "invoice", "shipment", "harbour", "container", "customs", "delay", "refund", "carrier", "pallet",
    "warehouse", "supplier", "margin", "audit", "budget", "contract", "vendor", "meeting", "forecast", "batch",
    "crane", "manifest", "tariff", "route", "driver", "depot", "stock", "label", "weather", "port",
)  # fmt: skip
_OPENINGS = ("Thanks for the update", "Following up on this", "Just checking in", "Quick note", "Happy to help")
_MIDDLES = ("I had another look at", "our team reviewed", "I can confirm progress on", "we are still working on")
_ENDINGS = ("Let me know if anything is unclear.", "I will keep you posted.", "Please advise.", "More soon.")

Traffic = Callable[[Random], Iterator[Event]]


def event(
    time: float,
    operation: str,
    target: str,
    request: object,
    result: object,
    *,
    agent: str = "worker",
    action: ActionKind = ActionKind.TOOL_CALL,
    trace: str = "",
    ok: bool = True,
    tokens: int = 0,
) -> Event:
    """One event, fingerprinted as the agent layer does it."""
    return Event(
        time=time,
        agent=agent,
        action=action,
        operation=operation,
        target=target,
        request=request_hash(operation, target, request),
        request_exact=literal_hash(text_of(request)),
        simhash=simhash(str(request)),
        result=result_hash(result) if ok else error_hash("ToolError", str(result)),
        result_exact=0 if result is None else exact_hash(text_of(result)),
        waiting=ok and result is not None and is_waiting(text_of(result)),
        ok=ok,
        error_type="" if ok else "ToolError",
        input_tokens=tokens,
        output_tokens=tokens // 20,
        trace_id=trace or f"{int(time * 1000):032x}",
        span_id=f"{hash((time, operation)) & (1 << 64) - 1:016x}",
    )


def salad(random: Random, words: int = 12) -> str:
    return " ".join(random.choice(_WORDS) for _ in range(words))


def paraphrase(random: Random) -> str:
    """A hallucinated comment: the same nothing in other words."""
    topic = f"{random.choice(_WORDS)} {random.choice(_WORDS)}"
    return (
        f"{random.choice(_OPENINGS)}! {random.choice(_MIDDLES)} the {topic} (ref {random.randrange(10**6)}). "
        f"{random.choice(_ENDINGS)}"
    )


def _times(random: Random, low: float, high: float) -> Iterator[float]:
    time = START
    while True:
        yield time
        time += random.uniform(low, high)


# --- loops ------------------------------------------------------------------------------------------------------------
def rogue_comments(random: Random) -> Iterator[Event]:
    """Paraphrased comments on one ticket; every time the model thinks and the (growing) ticket is read first."""
    ticket = f"TICK-{random.randrange(10, 99)}"
    for number, time in enumerate(_times(random, 0.02, 20)):
        read = {"id": ticket, "comments": [paraphrase(random) for _ in range(number)]}
        yield event(time, "tickets.read", ticket, {"ticket": ticket}, read)
        yield event(time, "small-model", "", paraphrase(random), paraphrase(random), action=ActionKind.MODEL_CALL)
        yield event(time, "tickets.comment", ticket, {"text": paraphrase(random)}, {"id": 17 + number})


def bare_comments(random: Random) -> Iterator[Event]:
    """The same without anything in between."""
    for number, time in enumerate(_times(random, 1.0, 20)):
        text = {"ticket": "TICK-12", "text": paraphrase(random)}
        yield event(time, "tickets.comment", "TICK-12", text, {"id": 17 + number})


def silent_comments(random: Random) -> Iterator[Event]:
    """A tool that returns nothing."""
    for time in _times(random, 1.0, 9.0):
        yield event(time, "tickets.comment", "TICK-12", {"text": paraphrase(random)}, None)


def same_call(random: Random) -> Iterator[Event]:
    """One request, one answer; ids and counters vary."""
    query = salad(random)
    for number, time in enumerate(_times(random, 0.1, 8)):
        yield event(time, "search", "fs", {"q": query, "request_id": number}, f"no match (attempt {number})")


def slow_loop(random: Random) -> Iterator[Event]:
    """Two steps that change nothing, one every minute and a half."""
    steps = [("summarise", salad(random)), ("sync", salad(random))]
    for number, time in enumerate(_times(random, 80, 100)):
        operation, request = steps[number % 2]
        yield event(time, operation, "workspace", request, "no change; will try again")


def retry_storm(random: Random) -> Iterator[Event]:
    """A failing call, hammered."""
    body = salad(random)
    for number, time in enumerate(_times(random, 0.05, 0.6)):
        yield event(time, "post", "billing", {"body": body, "key": f"{number:032x}"}, "503 unavailable", ok=False)


def error_storm(random: Random) -> Iterator[Event]:
    """Ever other arguments, ever the same error."""
    for time in _times(random, 0.5, 9):
        yield event(time, "query", "db", salad(random), "permission denied for role", ok=False)


def ping_pong(random: Random) -> Iterator[Event]:
    """Two agents that trigger each other; the trace is lost at each hop."""
    texts = (salad(random, 20), salad(random, 20))
    for number, time in enumerate(_times(random, 0.1, 4)):
        me, peer = ("left", "right") if number % 2 else ("right", "left")
        text = f"In reply to #{number}: {texts[number % 2]}"
        yield event(time, "comment", peer, text, {"ok": True, "id": number}, agent=me)


def ring(random: Random) -> Iterator[Event]:
    """Three agents hand one task on in a circle, in one trace."""
    task, agents = salad(random, 20), ("ann", "bob", "cy")
    for number, time in enumerate(_times(random, 0.5, 6)):
        me, peer = agents[number % 3], agents[(number + 1) % 3]
        yield event(time, "delegate", peer, "Fwd: " * (number // 3) + task, "accepted", agent=me, trace="f" * 32)


def rounds_of_five(random: Random) -> Iterator[Event]:
    """A-B-C-D-E, again and again."""
    steps = [(f"step_{letter}", salad(random), salad(random)) for letter in "abcde"]
    for number, time in enumerate(_times(random, 0.5, 30)):
        operation, request, result = steps[number % 5]
        yield event(time, operation, "plan", request, result)


def token_explosion(random: Random) -> Iterator[Event]:
    """Each prompt holds all that came before, twice."""
    tokens = float(random.randrange(2000, 8000))
    for time in _times(random, 10, 60):
        yield event(
            time, "large-model", "", salad(random), salad(random), action=ActionKind.MODEL_CALL, tokens=int(tokens)
        )
        tokens *= random.uniform(1.2, 1.5)


LOOPS: dict[str, tuple[Traffic, int]] = {
    "rogue_comments": (rogue_comments, 18),
    "bare_comments": (bare_comments, 5),
    "silent_comments": (silent_comments, 5),
    "same_call": (same_call, 7),
    "slow_loop": (slow_loop, 12),
    "retry_storm": (retry_storm, 6),
    "error_storm": (error_storm, 6),
    "ping_pong": (ping_pong, 8),
    "ring": (ring, 9),
    "rounds_of_five": (rounds_of_five, 15),
    "token_explosion": (token_explosion, 13),
}
"""Each loop and after how many of its events it must have been stopped at the latest."""


# --- honest work ------------------------------------------------------------------------------------------------------
def batch(random: Random) -> Iterator[Event]:
    """One operation over many rows of one system."""
    for number, time in zip(range(150), _times(random, 0.05, 0.4), strict=False):
        row = {"row": number, "name": salad(random, 3), "value": random.randrange(10**4)}
        yield event(time, "embed", "crm", row, {"id": random.randrange(10**7)})


def targets(random: Random) -> Iterator[Event]:
    """One request to many targets."""
    for number, time in zip(range(150), _times(random, 0.05, 0.4), strict=False):
        yield event(time, "notify", f"customer-{number}", "Your parcel is on its way", {"ok": True})


def invoice_lines(random: Random) -> Iterator[Event]:
    """Many different lines on one thing, quickly, by code."""
    for number, time in zip(range(40), _times(random, 0.01, 0.2), strict=False):
        yield event(time, "add_line", "INV-17", salad(random, 12), {"line": number})


def paging(random: Random) -> Iterator[Event]:
    """One request, other results: cursors are numbers."""
    query = salad(random, 3)
    for number, time in zip(range(40), _times(random, 0.3, 2), strict=False):
        yield event(time, "list", "store", {"q": query, "cursor": number}, salad(random, 30))


def moving_job(random: Random) -> Iterator[Event]:
    """Polling a job whose state changes."""
    for number, time in zip(range(30), _times(random, 2, 10), strict=False):
        yield event(time, "status", "jobs", {"job": 3367}, {"state": "running", "step": _WORDS[number % 30]})


def polite_retry(random: Random) -> Iterator[Event]:
    """Four failures with a doubling back-off, then success."""
    request = salad(random, 5)
    for number in range(5):
        failed = number < 4
        answer = "503 unavailable" if failed else "done"
        yield event(START + 2.0**number, "post", "billing", request, answer, ok=not failed)


def busy_with_refrain(random: Random) -> Iterator[Event]:
    """New work all the time, and now and then the same look at the clock."""
    for number, time in zip(range(120), _times(random, 0.5, 10), strict=False):
        if number % 4 == 0:
            yield event(time, "pwd", "shell", "pwd", "/home")
        else:
            yield event(time, "read", "shell", salad(random), salad(random))


def dialogue(random: Random) -> Iterator[Event]:
    """Two agents talk; what they say is new."""
    for number, time in zip(range(80), _times(random, 1, 9), strict=False):
        me, peer = ("left", "right") if number % 2 else ("right", "left")
        yield event(time, "chat", peer, salad(random, 25), None, agent=me, action=ActionKind.PUBLISH, trace="a" * 32)


def growing_context(random: Random) -> Iterator[Event]:
    """A context that gets longer by about as much each time."""
    tokens = 3000
    for time, _ in zip(_times(random, 3, 9), range(40), strict=False):
        yield event(time, "large-model", "", salad(random), salad(random), action=ActionKind.MODEL_CALL, tokens=tokens)
        tokens += random.randrange(500, 2500)


def classifier(random: Random) -> Iterator[Event]:
    """Long shared instructions, short answers: what a model says twice is no loop."""
    instructions = salad(random, 80)
    for _, time in zip(range(60), _times(random, 0.5, 3), strict=False):
        prompt = f"{instructions} {salad(random, 6)}"
        yield event(time, "small-model", "", prompt, "spam", action=ActionKind.MODEL_CALL)


def fan_out(random: Random) -> Iterator[Event]:
    """A publisher whose messages differ in numbers only, in one trace; nobody knows a publish's result."""
    for number, time in zip(range(60), _times(random, 0.01, 2), strict=False):
        update = {"shipment": number, "eta": f"2026-01-{number % 28 + 1:02d}"}
        yield event(time, "shipment.update", "", update, None, action=ActionKind.PUBLISH, trace="b" * 32)


def heartbeat(random: Random) -> Iterator[Event]:
    """The same every thirty seconds, declared periodic in the registry."""
    for number in range(100):
        yield event(START + 30 * number, "heartbeat", "registry", {"status": "alive"}, "ok", agent="steady")


BENIGN: dict[str, Traffic] = {
    f.__name__: f
    for f in (
        batch, targets, invoice_lines, paging, moving_job, polite_retry, busy_with_refrain, dialogue, growing_context,
        classifier, fan_out, heartbeat,
    )
}  # fmt: skip


def refused(one: Event) -> Event:
    """The same action, refused by a guard."""
    return replace(one, ok=False, error_type="AgentTripped")
