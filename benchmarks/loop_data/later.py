"""Kinds written later still: scored, found wanting (a flaky service was cut), then tuned on."""

from __future__ import annotations

from typing import Final

from benchmarks.loop_data.made import Kind, Maker, Rows


def period_of_eight(m: Maker) -> Rows:
    """Eight steps round and round, with something new after every fifth of them."""
    (me,) = m.agents(1)
    steps = [(f"tool_{m.words(1)}", m.words(8), m.words(6)) for _ in range(8)]
    for operation, request, answer in steps * 12:
        yield m.row(me, operation, "system", request, answer)
        m.pause(1, 9)
        if m.random.random() < 0.2:
            yield m.row(me, "search", "web", m.words(5), m.words(12))
            m.pause(1, 5)


def lost_ring(m: Maker) -> Rows:
    """Three to six agents hand a task on in other words; the trace is lost at each hop."""
    agents, task, m.traced = m.agents(m.random.randrange(3, 7)), m.words(14), False
    for number in range(80):
        here = number % len(agents)
        yield m.row(agents[here], "handoff", agents[(here + 1) % len(agents)], m.paraphrase(task), "accepted")
        m.pause(2, 15)


def outage(m: Maker) -> Rows:
    """Ever other requests, and four ways in which the service is down."""
    (me,) = m.agents(1)
    for number in range(60):
        why = m.random.choice(("Timeout after", "Connection reset", "502 Bad Gateway", "temporarily unavailable"))
        told = f"{why} {m.random.randrange(999)} ms (req {m.random.getrandbits(32):08x})"
        yield m.row(me, "http_get", "api", f'{{"url":"/v1/{m.words(1)}/{number}"}}', told, ok=False)
        m.pause(0.5, 4)


def critic(m: Maker) -> Rows:
    """A draft and a complaint, both in ever other words."""
    (writer, reader), draft, complaint = m.agents(2), m.words(20), m.words(10)
    for _ in range(40):
        yield m.row(writer, "submit_draft", reader, m.paraphrase(draft), "received")
        m.pause(3, 12)
        yield m.row(reader, "request_changes", writer, m.paraphrase(complaint), "received")
        m.pause(3, 12)


def edit_and_test(m: Maker) -> Rows:
    """Every edit is new, and the tests fail as before."""
    (me,), error = m.agents(1), m.words(6)
    for _ in range(40):
        yield m.row(me, "edit_file", "src/app.py", m.words(10), "edited")
        m.pause(2, 8)
        told = f"FAILED test_app.py::test_{m.random.randrange(3)} - AssertionError: {error}"
        yield m.row(me, "run_tests", "repo", "pytest -q", told, ok=False)
        m.pause(3, 15)


def flaky_service(m: Maker) -> Rows:
    """Up to two failures before each success."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(6, 15)):
        request = m.words(6)
        for attempt in range(m.random.randrange(3)):
            yield m.row(me, "fetch", "api", request, "Error 503: busy", ok=False)
            m.pause(2**attempt, 2 * 2**attempt)
        yield m.row(me, "fetch", "api", request, m.words(15))
        m.pause(1, 5)


def helpdesk(m: Maker) -> Rows:
    """The same greeting in every conversation, then a look at the knowledge base and an answer."""
    (me,), m.traced = m.agents(1), True
    for _ in range(m.random.randrange(10, 40)):
        m.turn()
        (customer,) = m.agents(1)
        yield m.row(me, "chat", customer, "Hello! How can I help you today?", "")
        m.pause(1, 9)
        yield m.row(customer, "chat", me, m.words(9), "")
        m.pause(1, 9)
        yield m.row(me, "lookup", "kb", m.words(4), m.words(12))
        m.pause(1, 4)
        yield m.row(me, "chat", customer, m.words(15), "")
        m.pause(5, 90)


def triage(m: Maker) -> Rows:
    """Reads a ticket, thinks, labels it with one of three labels."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(15, 50)):
        m.turn()
        ticket, label = f"TICK-{m.random.randrange(1000, 9999)}", m.random.choice(("bug", "question", "billing"))
        yield m.row(me, "read_ticket", ticket, f'{{"id":"{ticket}"}}', m.words(20))
        m.pause(1, 4)
        yield m.row(me, "llm_call", "model", m.words(30), m.words(10))
        m.pause(1, 4)
        yield m.row(me, "set_label", ticket, f'{{"label":"{label}"}}', '{"ok":true}')
        m.pause(2, 9)


def inbox(m: Maker) -> Rows:
    """Looks every ten seconds whether there is a message; mostly there is none."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(30, 120)):
        told = m.words(10) if m.random.random() < 0.15 else "[]"
        yield m.row(me, "receive", "inbox", "{}", told, tokens=0)
        m.pause(9.99, 10.01)


def screening(m: Maker) -> Rows:
    """Looks name after name up in a list that hardly anybody is on; each is asked for in the same form."""
    (me,) = m.agents(1)
    form = m.random.choice(('{"name": "%s", "list": "sanctions"}', "Is %s on the sanctions list?", "%s"))
    for _ in range(m.random.randrange(15, 40)):
        told = "no matches" if m.random.random() < 0.95 else f"possible match: {m.words(3)}"
        yield m.row(me, "screen", "sanctions", form % m.words(2), told)
        m.pause(1, 6)


def silent_commands(m: Maker) -> Rows:
    """Moves files about; a shell says nothing when all went well."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(15, 40)):
        verb = m.random.choice(("mkdir", "cp -r", "mv", "touch", "rm"))
        yield m.row(me, "bash", "shell", f"{verb} {m.words(2)}", "")
        m.pause(1, 6)


LOOPS: Final = tuple(
    Kind(make.__name__, make, True) for make in (period_of_eight, lost_ring, outage, critic, edit_and_test)
)
WORK: Final = (
    *(Kind(make.__name__, make, False) for make in (flaky_service, helpdesk, triage, inbox, silent_commands)),
    Kind("screening", screening, False, periodic=("screen",)),
)
