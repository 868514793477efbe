"""Further loops and work: scored untouched once, found wanting (haggling, a glossary, health checks), then tuned on."""

from __future__ import annotations

from typing import Final

from benchmarks.loop_data.made import Kind, Maker, Rows


def blackboard(m: Maker) -> Rows:
    """Two or three agents each put a document back to their own version, again and again."""
    agents = m.agents(m.random.randrange(2, 4))
    versions = [m.words(18) for _ in agents]
    document = f"doc-{m.random.randrange(100, 999)}"
    for number in range(60):
        here = number % len(agents)
        yield m.row(agents[here], "write_document", document, versions[here], f"saved as revision {number + 12}")
        m.pause(1, 9)


def stuck_browser(m: Maker) -> Rows:
    """Clicks the same button; the page comes back with another clock on it."""
    (me,), button, text = m.agents(1), m.words(2), m.words(15)
    for number in range(40):
        page = f"{text} (loaded 10:{number % 60:02d}:{m.random.randrange(60):02d})"
        yield m.row(me, "click", "browser", f'{{"button": "{button}"}}', page)
        m.pause(1, 8)


def validation(m: Maker) -> Rows:
    """Generates, validates, gets the same complaint, generates about the same."""
    (me,), text, complaint = m.agents(1), m.words(20), m.words(3)
    for _ in range(40):
        draft = m.paraphrase(text)
        yield m.row(me, "llm_call", "model", draft, m.words(20))
        m.pause(2, 9)
        error = f"ValidationError: '{m.words(1)}' is missing in {complaint}"
        yield m.row(me, "validate", "schema", draft, error, ok=False)
        m.pause(0.2, 1)


def thanks(m: Maker) -> Rows:
    """Two agents thank each other."""
    one, two = m.agents(2)
    texts = [f"Thank you! {m.words(3)}", f"You are welcome! {m.words(3)}"]
    m.traced = True
    for number in range(60):
        me, peer = (one, two) if number % 2 == 0 else (two, one)
        yield m.row(me, "chat", peer, texts[number % 2], "")
        m.pause(1, 6)


def requeue(m: Maker) -> Rows:
    """A poisoned job is taken, fails, and is put back."""
    (me,), job, why = m.agents(1), m.random.randrange(10**5, 10**6), m.words(6)
    for number in range(60):
        request = f'{{"job": {job}, "delivery": {number}}}'
        yield m.row(me, "process_job", "queue", request, f"JobError: {why}", ok=False, tokens=0)
        m.pause(0.05, 3)


def rephrased_search(m: Maker) -> Rows:
    """Looks for the same in other words and finds nothing."""
    (me,), query = m.agents(1), m.words(9)
    for _ in range(40):
        yield m.row(me, "search", "web", m.paraphrase(query), "no results")
        m.pause(1.5, 9)


def negotiation(m: Maker) -> Rows:
    """Two agents come to terms, offer by offer."""
    one, two = m.agents(2)
    low, high, subject = m.random.randrange(100, 400), m.random.randrange(600, 999), m.words(4)
    for number in range(m.random.randrange(10, 30)):
        me, peer, price = (one, two, low) if number % 2 == 0 else (two, one, high)
        yield m.row(me, "chat", peer, f"For {subject} I offer {price} euros.", "")
        low, high = low + m.random.randrange(2, 15), high - m.random.randrange(2, 15)
        m.pause(1, 8)


def etl(m: Maker) -> Rows:
    """The same three steps for each of many tables."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(10, 40)):
        table = m.words(2).replace(" ", "_")
        for step, result in (("extract", f"{m.random.randrange(10**4)} rows"), ("transform", "ok"), ("load", "ok")):
            yield m.row(me, step, "warehouse", f'{{"table": "{table}"}}', result)
            m.pause(0.5, 5)


def code_search(m: Maker) -> Rows:
    """Looks for many different things; some are not there."""
    (me,) = m.agents(1)
    for _ in range(m.random.randrange(15, 40)):
        found = m.words(15) if m.random.random() < 0.6 else ""
        yield m.row(me, "grep", "repo", m.words(m.random.randrange(1, 3)), found)
        m.pause(1, 9)


def health_checks(m: Maker) -> Rows:
    """Asks every service of a list how it is, round after round by the clock."""
    (me,), services = m.agents(1), [m.words(2) for _ in range(m.random.randrange(4, 12))]
    every = m.random.choice((30, 60, 120))
    for _ in range(m.random.randrange(5, 20)):
        for service in services:
            yield m.row(me, "check_health", service, "{}", "healthy", tokens=0)
        m.pause(every, every)


def translation(m: Maker) -> Rows:
    """Translates text after text, with a look at the glossary before each."""
    (me,), glossary = m.agents(1), m.words(25)
    for _ in range(m.random.randrange(10, 40)):
        yield m.row(me, "read_glossary", "docs", "all", glossary)
        m.pause(0.5, 2)
        yield m.row(me, "translate", "texts", m.words(20), m.words(20))
        m.pause(1, 6)


def standup(m: Maker) -> Rows:
    """Everybody reports to one; most have nothing to report."""
    boss, *team = m.agents(m.random.randrange(5, 15))
    for _ in range(m.random.randrange(3, 8)):
        for member in team:
            text = "No blockers today." if m.random.random() < 0.6 else m.words(10)
            yield m.row(member, "report", boss, text, "noted")
            m.pause(0.5, 6)
        m.pause(3600, 7200)


LOOPS: Final = tuple(
    Kind(make.__name__, make, True)
    for make in (blackboard, stuck_browser, validation, thanks, requeue, rephrased_search)
)
WORK: Final = (
    Kind("negotiation", negotiation, False),
    Kind("etl", etl, False),
    Kind("code_search", code_search, False),
    Kind("health_checks", health_checks, False, ("check_health",)),
    Kind("translation", translation, False),
    Kind("standup", standup, False),
)
