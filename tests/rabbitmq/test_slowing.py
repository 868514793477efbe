"""Before a detector opens it warns; an agent that is warned about waits after each action, for a while."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fusebox.clock import ManualClock
from fusebox.errors import AgentTripped
from fusebox.records import Finding, State
from rabbitmq import Agent, Context, Runtime
from rabbitmq.runtime import SLOW_FOR_S, SLOW_S
from tests.fixtures.agents import RuntimeFactory
from tests.fixtures.broker import Unique


def act(context: Context, clock: ManualClock, text: str, answer: str) -> float:
    """One tool call, a while after the one before; how long the agent was made to wait after it.

    On a thread of its own: the main one may have an event loop, left there by the browser of other tests.
    """
    clock.advance(3.7)
    before = clock.now()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(context.tool, "search", lambda _: answer, text).result()
    return clock.now() - before


def warned(runtimes: RuntimeFactory, name: str) -> tuple[Runtime, Context, ManualClock, list[float]]:
    clock = ManualClock()
    runtime = runtimes(clock)
    context = Agent(name, runtime).context()
    waits = []
    for pause in (1.0, 2.9, 7.1):
        clock.advance(pause)
        waits.append(act(context, clock, "same", "same"))
    return runtime, context, clock, waits


def test_it_waits_after_the_warning_and_for_a_minute(runtimes: RuntimeFactory, unique: Unique) -> None:
    _, context, clock, waits = warned(runtimes, unique("agent"))
    assert waits == [0.0, 0.0, SLOW_S]
    assert act(context, clock, "something new", "found") == SLOW_S
    clock.advance(SLOW_FOR_S)
    assert act(context, clock, "something else", "found that") == 0.0


def test_a_model_that_says_the_same_in_a_conversation_that_grows_is_seen(
    runtimes: RuntimeFactory, unique: Unique
) -> None:
    clock = ManualClock()
    runtime = runtimes(clock)
    context, said = Agent(name := unique("agent"), runtime).context(), []
    for number in range(1, 7):
        said.append({"role": "user", "content": "Please go on."})
        clock.advance(2.0 + number * number)
        try:
            with context.model_call("gpt-5-mini", provider="openai", messages=said) as call:
                call.record({"choices": [{"message": {"content": "Let me try again."}}]})
        except AgentTripped:
            break
        said.append({"role": "assistant", "content": "Let me try again."})
    assert number == 5
    assert runtime.circuits.circuit(name).state is State.OPEN


def test_in_observe_only_nobody_waits(runtimes: RuntimeFactory, unique: Unique) -> None:
    runtime, context, clock, _ = warned(runtimes, name := unique("agent"))
    runtime.circuits.set_mode(name, "observe_only", reason="trial", actor="operator:jo")
    assert act(context, clock, "something new", "found") == 0.0


def test_who_was_warned_and_came_no_more_is_forgotten(runtimes: RuntimeFactory) -> None:
    clock = ManualClock()
    runtime = runtimes(clock)
    for number in range(1000):
        runtime.found(Finding(f"job-{number}", "repetition", clock.now(), "loops", "warn", 3.0, 3.0))
        clock.advance(1.0)
    assert len(runtime._slow) <= SLOW_FOR_S


def test_agents_that_are_warned_at_the_same_time_are_all_slowed(runtimes: RuntimeFactory) -> None:
    clock = ManualClock()
    runtime = runtimes(clock)
    runtime._slow.update({f"busy-{number}": clock.monotonic() + SLOW_FOR_S for number in range(20_000)})
    names = [[f"{thread}-{number}" for number in range(50)] for thread in range(4)]

    def warn(agents: list[str]) -> set[float]:
        for agent in agents:
            runtime.found(Finding(agent, "repetition", clock.now(), "loops", "warn", 3.0, 3.0))
        return {runtime.pause(agent) for agent in agents}

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(warn, names)) == [{SLOW_S}] * 4
