"""Scenes in which an agent would use up what others need."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Final

from examples.scenes.models import SMALL_MODEL
from examples.scenes.stage import NIGHT_BUDGET, Mesh
from examples.scenes.told import Told

BYSTANDERS: Final = ("invoicing", "translation", "support")
_MOST: Final = 300
"""Calls after which a loop that nothing stops is ended by the scene."""
_LEAST: Final = 10
"""Calls that each bystander makes at least."""
_THINGS: Final = ("invoices", "contracts", "drawings", "labels", "manuals", "offers", "returns", "samples", "tools")
_PLACES: Final = ("Hamburg", "Tilburg", "Lyon", "Porto", "Gdynia", "Turin", "Malmö")


def runaway(mesh: Mesh, told: Told) -> None:
    """An agent without any guard in its process asks the same thing for ever; three others work beside it."""
    over = threading.Event()
    with ThreadPoolExecutor(len(BYSTANDERS) + 1) as pool:
        working = [pool.submit(_work, mesh, name, over) for name in BYSTANDERS]
        looping = pool.submit(_loop, mesh)
        calls, last = looping.result()
        over.set()
        statuses = [status for each in working for status in each.result()]
    told.figures |= {"calls_of_the_loop": calls, "calls_of_bystanders": len(statuses)}
    told.claim(f"the loop was stopped, after {calls} calls", last == (HTTPStatus.FORBIDDEN, "agent_tripped"))
    told.claim("the bystanders saw not one 429", HTTPStatus.TOO_MANY_REQUESTS not in statuses)
    told.claim(f"all their {len(statuses)} calls were answered", set(statuses) == {HTTPStatus.OK})


def weekend(mesh: Mesh, told: Told) -> None:
    """A batch that nobody watches burns tokens, always about something new, until its day's budget is used up."""
    through, used, last = mesh.through("night-batch"), 0, None
    for number in range(_MOST):
        last = through.chat(SMALL_MODEL, _question(number))
        if last.status != HTTPStatus.OK:
            break
        used += last.body["usage"]["total_tokens"]
    assert last is not None
    told.figures |= {"tokens_used": used, "budget": NIGHT_BUDGET}
    told.claim("its quota ended it with a 429", last.status == HTTPStatus.TOO_MANY_REQUESTS)
    told.claim(f"it used {used} tokens, no more than its {NIGHT_BUDGET}", 0 < used <= NIGHT_BUDGET)
    told.claim("the answer says when it may go on", "retry-after" in last.headers)
    beside = mesh.through("support").chat(SMALL_MODEL, "How do I move an authenticator to a new phone?")
    told.claim("another agent is answered at the same moment", beside.status == HTTPStatus.OK)


def _loop(mesh: Mesh) -> tuple[int, tuple[int, str]]:
    through = mesh.through("optimizer")
    for number in range(1, _MOST + 1):
        said = through.chat(SMALL_MODEL, "Is the route through Suez the shortest one?", "wf-runaway")
        if said.status != HTTPStatus.OK:
            return number, (said.status, said.code)
    return _MOST, (HTTPStatus.OK, "")


def _work(mesh: Mesh, agent: str, over: threading.Event) -> list[int]:
    through = mesh.through(agent)
    statuses: list[int] = []
    while not over.is_set() or len(statuses) < _LEAST:
        statuses.append(through.chat(SMALL_MODEL, _question(len(statuses))).status)
    return statuses


def _question(number: int) -> str:
    """A sentence that was not asked before."""
    thing, place = _THINGS[number % len(_THINGS)], _PLACES[number // len(_THINGS) % len(_PLACES)]
    return f"How many {thing} does {place} expect, and who signs for them, in week {number}?"
