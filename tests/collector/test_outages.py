"""When people are told that a provider is down."""

from collector.watch.outages import CALLS, LASTING_S, MODELS, QUIET_S, Outage, Outages
from fusebox.records import ActionKind, Event

MODEL = ActionKind.MODEL_CALL


class Heard:
    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []
        self._outages = Outages(self._hear)

    def _hear(self, outage: Outage) -> None:
        self.told.append((outage.model, outage.calls, len(outage.agents)))

    def call(self, time: float, agent: str = "a", error: str = "upstream_error", model: str = "gpt-5") -> None:
        self._outages.observe(Event(time, agent, MODEL, model, ok=not error, error_type=error))

    def fail(self, start: float, seconds: float, agents: str = "ab", model: str = "gpt-5") -> None:
        """One call a second, in turns."""
        for second in range(int(seconds) + 1):
            self.call(start + second, agents[second % len(agents)], model=model)


def test_an_outage_is_told_once_after_half_a_minute() -> None:
    heard = Heard()
    heard.fail(0, LASTING_S - 1)
    assert not heard.told
    heard.fail(LASTING_S, 300)
    assert heard.told == [("gpt-5", 31, 2)]


def test_few_calls_are_none() -> None:
    heard = Heard()
    for number in range(CALLS - 1):
        heard.call(60.0 * number, "ab"[number % 2])
    assert not heard.told


def test_one_agent_that_fails_while_nobody_else_asks_is_none() -> None:
    heard = Heard()
    heard.fail(0, 300, agents="a")
    assert not heard.told


def test_a_call_that_goes_well_ends_it_and_what_the_agent_did_wrong_says_nothing() -> None:
    heard = Heard()
    for start in (0, 25, 50):
        heard.fail(start, 20)
        heard.call(start + 21, error="")
    for second in range(100):
        heard.call(100.0 + second, "ab"[second % 2], "upstream_rejected")
    assert not heard.told


def test_the_next_one_is_told_and_one_that_comes_and_goes_once_in_a_while() -> None:
    heard = Heard()
    for start in (0, 60, 120, QUIET_S + 60):
        heard.fail(start, 40)
        heard.call(start + 41, error="")
    assert len(heard.told) == 2


def test_what_models_are_called_fills_no_memory() -> None:
    heard = Heard()
    heard.call(0)
    for number in range(MODELS):
        heard.call(1, model=f"made-up-{number}")
    heard.fail(2, 29)
    assert not heard.told, "forgotten, so it began anew"
