"""Loops: each generator yields one incident, from its first message on, for as long as nobody stops it."""

from __future__ import annotations

from itertools import count, cycle, pairwise
from typing import Final

from benchmarks.loop_data.made import Kind, Maker, Rows


def _rings(m: Maker, size: int, texts: list[str], between: int, prefix: bool) -> Rows:
    agents, operation = m.agents(size), m.random.choice(("delegate", "handoff", "forward_task", "create_comment"))
    for number in range(60):
        me, peer = agents[number % size], agents[(number + 1) % size]
        text = texts[number % len(texts)]
        yield m.row(me, operation, peer, f"{'Fwd: ' * (number // size) if prefix else ''}{text}", "accepted")
        m.pause(0.2, 5)
        if between and number % between == between - 1:
            yield m.row(peer, "search", "wiki", m.words(6), m.words(12))
            m.pause(0.2, 3)


def long_ring(m: Maker) -> Rows:
    """Four to eight agents hand one task round."""
    return _rings(m, m.random.randrange(4, 9), [m.words(16)], 0, m.random.random() < 0.5)


def ring_of_steps(m: Maker) -> Rows:
    """Each agent of the ring says something of its own, the same in every lap."""
    size = m.random.randrange(3, 7)
    return _rings(m, size, [m.words(14) for _ in range(size)], 0, prefix=False)


def noisy_ring(m: Maker) -> Rows:
    """A ring whose agents now and then look something up."""
    return _rings(m, m.random.randrange(3, 6), [m.words(16)], m.random.randrange(2, 4), prefix=False)


def handoff(m: Maker) -> Rows:
    """Two or three sub-agents each say that another is in charge."""
    agents = m.agents(m.random.randrange(2, 4))
    reasons = [m.words(10) for _ in agents]
    for number in range(60):
        here = number % len(agents)
        text = m.paraphrase(f"this is not mine, you handle {reasons[here]}")
        yield m.row(agents[here], "transfer_to_agent", agents[(here + 1) % len(agents)], text, "transferred")
        m.pause(0.5, 6)


def echo_chamber(m: Maker) -> Rows:
    """Two agents answer each other with paraphrases of the same two remarks."""
    one, two = m.agents(2)
    remarks = [m.words(14), m.words(14)]
    for number in range(60):
        me, peer = (one, two) if number % 2 == 0 else (two, one)
        yield m.row(
            me, "create_comment", peer, m.paraphrase(remarks[number % 2]), f'{{"ok":true,"id":{number + 70000}}}'
        )
        m.pause(0.5, 8)


def paraphrase(m: Maker) -> Rows:
    """One agent says the same again in other words."""
    (me,), target = m.agents(1), m.random.choice(("TICK-77", "crm", "case-4412"))
    text = m.words(16)
    for _ in range(40):
        yield m.row(me, "add_note", target, m.paraphrase(text), '{"ok":true}')
        m.pause(1.5, 12)


def two_tools(m: Maker) -> Rows:
    """Two tools in turn, each with its old result."""
    (me,) = m.agents(1)
    steps = [(m.random.choice(("read_file", "list_dir")), m.words(4), m.words(20)) for _ in range(2)]
    for operation, request, result in _until(40, steps):
        yield m.row(me, operation, "workspace", request, result)
        m.pause(0.8, 9)


def long_cycle(m: Maker) -> Rows:
    """Three to eight steps, round and round, sometimes with one new step in a lap."""
    (me,) = m.agents(1)
    steps = [(f"step_{m.words(1)}", m.words(6), m.words(14)) for _ in range(m.random.randrange(3, 9))]
    noise = m.random.random() < 0.5
    for number, (operation, request, result) in enumerate(_until(80, steps)):
        yield m.row(me, operation, "plan", request, result)
        m.pause(0.8, 9)
        if noise and number % len(steps) == len(steps) - 1:
            yield m.row(me, "note", "plan", m.words(8), m.words(8))


def error_storm(m: Maker) -> Rows:
    """Ever other arguments, ever the same error."""
    (me,) = m.agents(1)
    for _ in range(40):
        words = m.words(5)
        error = f"Error: field '{words.split()[0]}' is not known to '{words.split()[1]}'"
        yield m.row(me, "call_api", "erp", f'{{"q": "{words}"}}', error, ok=False)
        m.pause(0.8, 8)


def drift(m: Maker) -> Rows:
    """One argument drifts slowly, nothing ever comes of it."""
    (me,) = m.agents(1)
    text, value = m.words(10), m.random.randrange(1, 50)
    for number in range(40):
        yield m.row(me, "search", "index", f'{{"q": "{text}", "radius": {value + number}}}', "no results")
        m.pause(1.2, 7)


def counter_call(m: Maker) -> Rows:
    """The same call with a fresh request id, a clock and an attempt number."""
    (me,) = m.agents(1)
    text = m.words(12)
    for number in range(60):
        clock = f"2026-03-{number % 28 + 1:02d}T10:{number % 60:02d}:00Z"
        request = f'{{"text": "{text}", "request_id": "{m.random.getrandbits(64):016x}", "at": "{clock}"}}'
        yield m.row(me, "submit_form", "portal", request, f"rejected: incomplete form (attempt {number})", ok=False)
        m.pause(1.0, 6)


def retry_storm(m: Maker) -> Rows:
    """A failing call hammered by code."""
    (me,) = m.agents(1)
    body = m.words(9)
    for _ in range(150):
        key = f"{m.random.getrandbits(48):012x}"
        yield m.row(
            me, "http_put", "gateway", f'{{"body": "{body}", "key": "{key}"}}', "502 Bad Gateway", ok=False, tokens=0
        )
        m.pause(0.02, 0.4)


def slow_loop(m: Maker) -> Rows:
    """One or two steps that change nothing, a minute or two apart, for hours."""
    (me,) = m.agents(1)
    steps = [(m.random.choice(("summarise", "sync", "review")), m.words(12), "nothing to do") for _ in range(2)]
    for operation, request, result in _until(40, steps[: m.random.randrange(1, 3)]):
        yield m.row(me, operation, "workspace", request, result, grow=0)
        m.pause(50, 150)


def explosion(m: Maker) -> Rows:
    """Each call's context holds the one before, and more."""
    (me,) = m.agents(1)
    tokens, growth = float(m.random.randrange(4000, 12000)), m.random.uniform(1.18, 1.5)
    for _ in range(20):
        yield m.row(me, "llm_call", "model", m.words(30), m.words(30), tokens=int(tokens))
        tokens *= growth * m.random.uniform(0.96, 1.04)
        m.pause(5, 40)


def same_answer(m: Maker) -> Rows:
    """A model asked the same, answering the same."""
    (me,) = m.agents(1)
    prompt, answer = m.words(30), m.words(20)
    m.traced = True
    for _ in range(30):
        yield m.row(me, "llm_call", "model", prompt, answer)
        m.pause(2, 10)


def spawning(m: Maker) -> Rows:
    """Agents that spawn agents that spawn agents."""
    line = m.agents(1)
    fan, task = m.random.randrange(2, 4), m.words(10)
    for number in count():
        if number >= 40:
            return
        for _ in range(fan):
            child = m.agents(1)[0]
            line.append(child)
            yield m.row(line[number], "spawn_agent", child, f"sub-task of {task}: {m.words(4)}", "spawned")
            m.pause(0.2, 3)


def deep_delegation(m: Maker) -> Rows:
    """Everybody delegates to somebody new."""
    line = m.agents(40)
    task = m.words(12)
    for me, peer in pairwise(line):
        yield m.row(me, "delegate", peer, m.paraphrase(task), "accepted")
        m.pause(0.3, 4)


def _until(number: int, steps: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    turning = cycle(steps)
    return [next(turning) for _ in range(number)]


LOOPS: Final = tuple(
    Kind(make.__name__, make, True)
    for make in (
        long_ring, ring_of_steps, noisy_ring, handoff, echo_chamber, paraphrase, two_tools, long_cycle, error_storm,
        drift,        counter_call, retry_storm, slow_loop, explosion, same_answer, spawning, deep_delegation,
    )
)  # fmt: skip
