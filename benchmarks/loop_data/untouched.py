"""The untouched kinds: written when the rules were settled, scored, and not looked at while tuning."""

from __future__ import annotations

from typing import Final

from benchmarks.loop_data.made import Kind, Maker, Rows


def approval(m: Maker) -> Rows:
    """An agent asks for approval, another refers it back, each time in the same words but for a case number."""
    asker, approver = m.agents(2)
    ask, refer = m.words(12), m.words(8)
    for number in range(40):
        case = m.random.randrange(10**5, 10**6)
        yield m.row(asker, "request_approval", approver, f"{ask} (case {case})", "queued for review")
        m.pause(1, 10)
        yield m.row(approver, "refer_back", asker, f"{refer} (case {case}, {number})", "delivered")
        m.pause(1, 10)


def lost_file(m: Maker) -> Rows:
    """Lists a folder, opens a file that is not there, lists the folder again."""
    (me,), listing, name = m.agents(1), m.words(20), m.words(1)
    for number in range(40):
        yield m.row(me, "list_dir", "workspace", '{"path": "."}', listing)
        m.pause(1, 6)
        wrong = f"{name}_{number}.txt"
        yield m.row(me, "open_file", "workspace", f'{{"path": "{wrong}"}}', f"FileNotFoundError: '{wrong}'", ok=False)
        m.pause(1, 6)


def round_table(m: Maker) -> Rows:
    """Four to seven agents in turn, all in one trace, each with its old remark."""
    agents = m.agents(m.random.randrange(4, 8))
    remarks, m.traced = [m.words(12) for _ in agents], True
    for number in range(60):
        here = number % len(agents)
        yield m.row(agents[here], "post_message", "channel", remarks[here], '{"ok":true}')
        m.pause(1, 7)


def deploy_loop(m: Maker) -> Rows:
    """Deploys, checks, rolls back; the check fails as it did before."""
    (me,), version = m.agents(1), m.words(2)
    for _ in range(40):
        yield m.row(me, "deploy", "cluster", version, "deployed")
        m.pause(5, 40)
        yield m.row(me, "check", "cluster", version, "HealthError: not reachable after 30 s", ok=False)
        m.pause(2, 10)
        yield m.row(me, "rollback", "cluster", version, "rolled back")
        m.pause(5, 40)


def price_watch(m: Maker) -> Rows:
    """A model asked the same about a page that does not change, between pauses of its own."""
    (me,), page, verdict = m.agents(1), m.words(25), m.words(5)
    for _ in range(40):
        yield m.row(me, "fetch", "shop", '{"url": "/offer"}', page)
        m.pause(1, 3)
        yield m.row(me, "llm_call", "model", f"is this cheap: {page}", verdict)
        m.pause(20, 90)


def interview(m: Maker) -> Rows:
    """One asks from a list, the other answers; some questions are alike."""
    one, two = m.agents(2)
    frame = m.words(6)
    for _ in range(m.random.randrange(10, 30)):
        yield m.row(one, "ask", two, f"{frame} {m.words(3)}?", "delivered")
        m.pause(1, 8)
        yield m.row(two, "answer", one, m.words(m.random.randrange(3, 20)), "delivered")
        m.pause(1, 8)


def migration(m: Maker) -> Rows:
    """For each of many tables: copy, count, compare; most counts agree."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(10, 30)):
        table = m.words(2)
        yield m.row(me, "copy_table", "db", table, "copied")
        m.pause(1, 10)
        yield m.row(me, "count_rows", "db", table, f"{m.random.randrange(10, 9000)}")
        m.pause(0.5, 3)
        yield m.row(me, "compare", "db", table, "equal")
        m.pause(0.5, 3)


def support_desk(m: Maker) -> Rows:
    """Ticket after ticket: read, look up the customer, answer, often with the same words."""
    (me,), stock = m.agents(1), [m.words(12) for _ in range(3)]
    for number in range(m.random.randrange(8, 30)):
        m.turn()
        ticket = f"TCK-{1000 + number}"
        yield m.row(me, "read_ticket", ticket, "{}", m.words(20))
        m.pause(1, 4)
        yield m.row(me, "find_customer", "crm", m.words(2), m.words(6))
        m.pause(1, 4)
        yield m.row(me, "reply", ticket, m.random.choice(stock), '{"sent": true}')
        m.pause(5, 60)


def sampling(m: Maker) -> Rows:
    """One prompt sampled several times on purpose; the answers differ."""
    (me,), prompt = m.agents(1), m.words(20)
    for _ in range(m.random.randrange(5, 20)):
        yield m.row(me, "llm_call", "model", prompt, m.words(15), grow=0)
        m.pause(1, 5)


def backup(m: Maker) -> Rows:
    """Every hour the same few calls, all well."""
    (me,) = m.agents(1)
    for number in range(m.random.randrange(6, 24)):
        yield m.row(me, "snapshot", "volume", "{}", f"snapshot {number + 300} created", tokens=0)
        m.pause(20, 60)
        yield m.row(me, "verify", "volume", "{}", "ok", tokens=0)
        m.pause(3500, 3600)


LOOPS: Final = tuple(
    Kind(make.__name__, make, True) for make in (approval, lost_file, round_table, deploy_loop, price_watch)
)
WORK: Final = (
    Kind("interview", interview, False),
    Kind("migration", migration, False),
    Kind("support_desk", support_desk, False),
    Kind("sampling", sampling, False),
    Kind("backup", backup, False, ("snapshot", "verify")),
)
