"""Honest work that looks like a loop: each generator yields one case, from its first message to its end."""

from __future__ import annotations

from typing import Final

from benchmarks.loop_data.made import Kind, Maker, Rows


def log_polling(m: Maker) -> Rows:
    """Looks at a log's end by the clock; often there is nothing new."""
    (me,) = m.agents(1)
    every = m.random.choice((5, 10, 15, 30, 60))
    for _ in range(m.random.randrange(10, 60)):
        new = m.random.random() < 0.4
        yield m.row(me, "tail_log", "syslog", '{"lines": 20}', m.words(12) if new else "", grow=0, tokens=0)
        m.pause(every, every)


def cursor_paging(m: Maker) -> Rows:
    """Pages by opaque cursors."""
    (me,) = m.agents(1)
    query = m.words(3)
    for _ in range(m.random.randrange(10, 50)):
        cursor = f"{m.random.getrandbits(80):020x}"
        yield m.row(me, "list_items", "store", f'{{"q": "{query}", "cursor": "{cursor}"}}', m.words(40), grow=0)
        m.pause(0.3, 2)


def heartbeat(m: Maker) -> Rows:
    """Says by the clock that it lives, with a counter."""
    (me,) = m.agents(1)
    every = m.random.choice((10, 15, 30, 60))
    for number in range(m.random.randrange(30, 120)):
        yield m.row(me, "heartbeat", "registry", f'{{"alive": true, "n": {number}}}', "ok", tokens=0)
        m.pause(every, every)


def bulk_import(m: Maker) -> Rows:
    """Row after row into one system."""
    (me,) = m.agents(1)
    for number in range(m.random.randrange(40, 200)):
        row = f'{{"row": {number}, "name": "{m.words(2)}", "amount": {m.random.randrange(10**5)}}}'
        yield m.row(me, "insert_row", "erp", row, f'{{"id": {m.random.randrange(10**6, 10**7)}}}', grow=0)
        m.pause(0.05, 0.6)


def patient_retry(m: Maker) -> Rows:
    """Two to five failures with a growing, jittered pause, then success."""
    (me,) = m.agents(1)
    request, pause = m.words(5), m.random.uniform(0.5, 2)
    for _ in range(m.random.randrange(2, 6)):
        yield m.row(me, "http_get", "api", request, "503 Service Unavailable", ok=False, tokens=0)
        m.pause(pause * 0.9, pause * 1.1)
        pause *= 2
    yield m.row(me, "http_get", "api", request, m.words(20), tokens=0)


def dialogue(m: Maker) -> Rows:
    """Two agents comment on what the other said; each remark is new, each call answers ok."""
    one, two = m.agents(2)
    for number in range(m.random.randrange(20, 70)):
        me, peer = (one, two) if number % 2 == 0 else (two, one)
        yield m.row(me, "create_comment", peer, m.words(18), '{"ok":true}')
        m.pause(1, 8)


def cron(m: Maker) -> Rows:
    """A few scheduled steps, by the clock; most find nothing to do."""
    (me,) = m.agents(1)
    every = m.random.choice((60, 120, 300))
    steps = [m.words(1) for _ in range(m.random.randrange(1, 4))]
    for _ in range(m.random.randrange(8, 30)):
        for step in steps:
            yield m.row(me, f"run_{step}", "jobs", "{}", "0 items", tokens=0)
        m.pause(every, every)


def map_reduce(m: Maker) -> Rows:
    """One hands parts to many, each works, one collects."""
    boss, *workers = m.agents(m.random.randrange(6, 30))
    for worker in workers:
        yield m.row(boss, "delegate", worker, f"part: {m.words(8)}", "accepted")
        m.pause(0.05, 0.5)
    for worker in workers:
        yield m.row(worker, "search", "index", m.words(6), m.words(20))
        m.pause(0.1, 2)
        yield m.row(worker, "report", boss, m.words(12), "received")
        m.pause(0.1, 1)


def test_and_edit(m: Maker) -> Rows:
    """Edits code and runs the tests: the same command, other failures."""
    (me,) = m.agents(1)
    failures = m.random.randrange(5, 20)
    for left in range(failures, -1, -1):
        yield m.row(me, "edit_file", "repo", m.words(20), "saved")
        m.pause(2, 20)
        yield m.row(me, "run_tests", "repo", "make test", f"{left} failed: {m.words(5)}", ok=not left)
        m.pause(2, 20)


def job_status(m: Maker) -> Rows:
    """Asks for a job's state until it is done."""
    (me,) = m.agents(1)
    word = m.random.choice(("running", "pending", "in progress", "queued"))
    request = f'{{"job": {m.random.randrange(1000, 9999)}}}'
    for _ in range(m.random.randrange(4, 25)):
        yield m.row(me, "get_status", "jobs", request, f'{{"status": "{word}"}}', grow=0)
        m.pause(2, 12)
    yield m.row(me, "get_status", "jobs", request, '{"status": "done"}', grow=0)


def greeting(m: Maker) -> Rows:
    """The same greeting at the start of every conversation, then something else each time."""
    (me,) = m.agents(1)
    hello, m.traced = m.words(10), True
    for _ in range(m.random.randrange(10, 30)):
        m.turn()
        yield m.row(me, "chat", "customer", hello, "")
        for _ in range(m.random.randrange(1, 4)):
            m.pause(1, 9)
            yield m.row(me, "lookup", "crm", m.words(4), m.words(12))
        m.pause(5, 60)


def proceed(m: Maker) -> Rows:
    """A leader says "proceed", a worker says "done", and between them work gets done."""
    boss, worker = m.agents(2)
    for _ in range(m.random.randrange(8, 25)):
        yield m.row(boss, "chat", worker, "Please proceed with the next step.", "")
        m.pause(1, 5)
        for _ in range(m.random.randrange(1, 4)):
            yield m.row(worker, "execute", "shell", m.words(6), m.words(15))
            m.pause(1, 8)
        yield m.row(worker, "chat", boss, "Done.", "")
        m.pause(1, 4)


def reading(m: Maker) -> Rows:
    """A context that gets longer by about as much each time."""
    (me,) = m.agents(1)
    tokens, step = m.random.randrange(2000, 9000), m.random.randrange(400, 3000)
    for _ in range(m.random.randrange(15, 40)):
        yield m.row(me, m.random.choice(("llm_call", "read_file")), "ws", m.words(9), m.words(20), tokens=tokens)
        tokens += int(step * m.random.uniform(0.4, 1.6))
        m.pause(3, 12)


def notify(m: Maker) -> Rows:
    """One message to many."""
    (me,), text = m.agents(1), m.words(12)
    for number in range(m.random.randrange(20, 80)):
        yield m.row(me, "send_email", f"customer-{1000 + number}", text, '{"sent":true}', grow=0)
        m.pause(0.1, 1)


WORK: Final = (
    Kind("cursor_paging", cursor_paging, False),
    Kind("heartbeat", heartbeat, False, ("heartbeat",)),
    Kind("bulk_import", bulk_import, False),
    Kind("dialogue", dialogue, False),
    Kind("map_reduce", map_reduce, False),
    Kind("test_and_edit", test_and_edit, False),
    Kind("greeting", greeting, False),
    Kind("log_polling", log_polling, False, ("tail_log",)),
    Kind("patient_retry", patient_retry, False),
    Kind("cron", cron, False),
    Kind("job_status", job_status, False, ("get_status",)),
    Kind("proceed", proceed, False),
    Kind("reading", reading, False),
    Kind("notify", notify, False),
)
