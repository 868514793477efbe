"""Repetition: what counts as no progress, and what does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from breakers.detectors.repetition import Repetition
from fusebox.records import ActionKind, Event
from tests.breakers.traffic import START, event


def opens(events: Iterable[Event]) -> int:
    """After how many events a fresh detector opens; 0 for never."""
    detector = Repetition()
    for number, one in enumerate(events, 1):
        found = detector.observe(one)
        if found and found.action == "open":
            assert found.spans
            assert detector.score >= found.threshold
            return number
    return 0


def calls(requests: Iterable[object], results: Iterable[object], *, every: float = 7.3, tokens: int = 0) -> list[Event]:
    """One call after the other, in one conversation, at uneven times; the context grows by ``tokens``."""
    return [
        event(START + every * n + n * n / 11, "call", "crm", request, result, tokens=100 + tokens * n, trace="c" * 32)
        for n, (request, result) in enumerate(zip(requests, results, strict=True))
    ]


def test_the_same_with_the_same_result_opens_at_the_fourth_and_warns_at_the_third() -> None:
    detector = Repetition()
    found = [detector.observe(one) for one in calls(["find the order"] * 4, ["none"] * 4)]
    assert [f.action if f else None for f in found] == [None, None, "warn", "open"]


def test_counters_in_request_and_result_do_not_hide_it() -> None:
    ids = [f"{n * 7919:08x}" for n in range(1, 8)]
    assert opens(calls([f"order, request {i}" for i in ids], [f"conflict (attempt {n})" for n in range(7)])) == 5


@pytest.mark.parametrize("result", ["step {n} of 9", '{{"progress": {n}}}'])
def test_a_small_number_that_moves_in_the_answer_to_the_same_question_is_progress(result: str) -> None:
    assert opens(calls(["state of job"] * 9, [result.format(n=n) for n in range(9)])) == 0


def test_an_answer_that_says_running_is_waited_for() -> None:
    assert opens(calls(["state of job"] * 60, ['{"state": "running"}'] * 60)) == 0


def test_an_answer_that_says_running_is_waited_for_whatever_is_thought_meanwhile() -> None:
    polls = calls(["state of job"] * 200, ['{"state": "running"}'] * 200)
    polls = [replace(one, target="job-7") for one in polls]
    thoughts = [
        event(one.time - 2, "chat", "", f"prompt {n * 7919:x}", f"thought {n * 7907:x}", action=ActionKind.MODEL_CALL)
        for n, one in enumerate(polls)
    ]
    thoughts = [replace(thought, trace_id=one.trace_id) for thought, one in zip(thoughts, polls, strict=True)]
    assert opens(one for both in zip(thoughts, polls, strict=True) for one in both) == 0


def asked_by(*workflows: str, operation: str = "kb.search", target: str = "kb", ok: bool = True) -> list[Event]:
    """The same again, for each of these workflows in turn, which leave no common trace."""
    every = [
        event(START + 40 * n + n * n, operation, target, "how do I reset my password?", "by the link", ok=ok)
        for n in range(len(workflows))
    ]
    return [replace(one, workflow=workflow) for one, workflow in zip(every, workflows, strict=True)]


USERS = tuple(f"wf_{n}" for n in range(60))


def test_many_users_may_ask_the_same() -> None:
    assert opens(asked_by(*USERS)) == 0
    assert opens(asked_by(*USERS, operation="gpt-5", target="")) == 0


def test_one_workflow_that_asks_again_and_again_is_a_loop_and_so_are_two_that_take_turns() -> None:
    assert opens(asked_by(*["wf"] * 6)) == 4
    assert opens(asked_by(*["wf_a", "wf_b"] * 4)) == 5
    assert opens(asked_by(*[""] * 6)) == 4


def test_workflows_that_an_agent_begins_while_it_handles_one_thing_are_not_of_many_users() -> None:
    assert opens(replace(one, trace_id="t") for one in asked_by(*USERS)) == 4


def test_who_writes_the_same_or_is_at_one_thing_or_fails_loops_for_whomever() -> None:
    assert opens(asked_by(*USERS, operation="tickets.comment", target="tickets")) == 4
    assert opens(asked_by(*USERS, operation="tickets.look", target="TICK-12")) == 4
    assert opens(asked_by(*USERS, ok=False)) == 5


def test_what_code_asks_by_the_clock_is_no_loop_and_what_a_model_asks_unevenly_is() -> None:
    clock = [event(START + 30.0 * n, "beat", "registry", "alive", "ok") for n in range(80)]
    assert opens(clock) == 0
    quiet = [event(START + 10.0 * n, "tail", "log", "tail", "nothing new") for n in (0, 3, 5, *range(6, 60))]
    assert opens(quiet) == 0, "what is new in between leaves pauses of several ticks"
    uneven = [event(START + 30.0 * n + n * n, "beat", "registry", "alive", "ok") for n in range(8)]
    assert opens(uneven) == 4


def test_what_comes_by_the_clock_may_come_later_while_it_is_made_to_wait() -> None:
    """Two questions a round; who is warned of waits half a second after each."""
    detector, now, slow_until, actions = Repetition(), START, 0.0, []
    for _ in range(120):
        for word in ("mail", "jobs"):
            found = detector.observe(event(now, f"check_{word}", "desk", word, f"none of the {word}"))
            if found:
                actions.append(found.action)
                slow_until = now + 60
            now += 0.5 if now < slow_until else 0.0
        now += 15
    assert set(actions) == {"warn"}


@pytest.mark.parametrize("period", range(2, 9))
def test_a_cycle_opens_early_in_its_third_lap_or_when_six_old_steps_were_made(period: int) -> None:
    words = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"][:period]
    laps = [words[n % period] for n in range(period * 4)]
    assert opens(calls(laps, [f"answer {word}" for word in laps], tokens=50)) == min(
        max(period + 4, 2 * period + 1), period + 6
    )


def test_a_cycle_is_told_by_the_steps_that_were_made_again() -> None:
    """Three laps of two steps: four of the six were made before."""
    detector = Repetition()
    laps = [
        event(
            START + 7.3 * n + n * n / 11, ("plan", "act")[n % 2], "crm", f"step {'ab'[n % 2]}", "done", tokens=100 + n
        )
        for n in range(6)
    ]
    told = [found for one in laps if (found := detector.observe(one)) and found.action == "open"]
    assert told[0].reason == "tool_call plan → act: 4 steps again, in rounds, with the same outcome: no progress"
    assert told[0].repeated == "tool_call plan → act: 4 steps again"


WORDS = [
    "refunds", "broken pallets", "who paid the driver", "winter tariffs", "the crane of berth nine", "late customs",
    "an audit of labels", "lost manifests", "weather at the port", "margins of suppliers", "night shifts",
    "empty depots",
]  # fmt: skip


def actions(events: Iterable[Event]) -> list[str]:
    detector = Repetition()
    return [found.action for one in events if (found := detector.observe(one))]


@pytest.mark.parametrize("result", ["no results", "[]", {}])
def test_a_search_in_ever_other_words_that_finds_nothing_is_warned_of_and_never_opens(result: object) -> None:
    assert actions(calls(WORDS, [result] * len(WORDS), tokens=50)) == ["warn"]
    assert actions(calls(WORDS[:5], [result] * 5, tokens=50)) == []


def test_a_search_in_similar_words_that_finds_nothing_opens() -> None:
    text = "late shipments of the harbour crane in winter with refunds by carrier and depot since the audit"
    asked = [text.replace(word, "vendor") for word in text.split()[:12]]
    assert actions(calls(asked, ["no results"] * len(asked), tokens=50))[:2] == ["warn", "open"]


def test_code_that_looks_many_things_up_may_find_none_of_them() -> None:
    assert actions(calls(WORDS, ["no results"] * len(WORDS))) == []


def test_what_is_found_in_between_is_progress() -> None:
    found = ["no results"] * len(WORDS)
    found[3], found[7] = "one broken pallet", "a manifest of May"
    assert actions(calls(WORDS, found, tokens=50)) == []


def test_a_command_that_succeeds_in_silence_has_not_said_that_there_is_nothing() -> None:
    assert actions(calls(WORDS, [""] * len(WORDS), tokens=50)) == []


def test_a_refrain_beside_as_much_new_work_is_no_loop() -> None:
    texts = [chr(97 + n % 26) * (3 + n // 26) for n in range(60)]
    requests = ["read the glossary" if n % 2 == 0 else f"translate {texts[n]}" for n in range(60)]
    results = ["the glossary" if n % 2 == 0 else f"done {texts[n]}" for n in range(60)]
    assert opens(calls(requests, results, tokens=50)) == 0


def test_one_error_whatever_the_arguments_opens_at_the_fifth() -> None:
    names = ["alpha", "beta", "gamma", "delta", "epsilon", "zeta"]
    storm = [
        event(START + 3.1 * n + n * n, "sql", "db", f"SELECT {name} FROM t", f"Unknown column '{name}'", ok=False)
        for n, name in enumerate(names)
    ]
    assert opens(storm) == 5


def test_successes_in_between_are_work_on_the_error() -> None:
    names = [chr(97 + n) * 5 for n in range(20)]
    tries = [
        event(
            START + 3.1 * n + n * n, "sql", "db", f"SELECT {name} FROM {name}",
            f"Unknown column '{name}'" if n % 2 else f"rows of {name}", ok=n % 2 == 0,
        )
        for n, name in enumerate(names)
    ]  # fmt: skip
    assert opens(tries) == 0


def test_code_that_retries_more_and_more_patiently_is_left_alone() -> None:
    polite = [event(START + 2.0**n, "post", "billing", "pay", "503", ok=False) for n in range(7)]
    hammering = [event(START + 0.2 * n, "post", "billing", "pay", "503", ok=False) for n in range(7)]
    assert opens(polite) == 0
    assert opens(hammering) == 4


def test_a_patient_retry_may_throw_dice() -> None:
    """Full second pauses that double, each a fifth shorter or longer by chance."""
    waits = [1.2, 1.6, 4.8, 6.4, 19.2, 25.6]
    times = [sum(waits[:n]) for n in range(len(waits) + 1)]
    assert opens(event(START + time, "post", "billing", "pay", "503", ok=False) for time in times) == 0


def test_a_model_that_could_not_be_asked_has_not_thought() -> None:
    busy = [
        event(START + 2.0**n, "gpt-5", "", "why", "429", ok=False, action=ActionKind.MODEL_CALL, trace="d" * 32)
        for n in range(6)
    ]
    assert opens(busy) == 0


def test_another_task_may_begin_like_the_one_before() -> None:
    steps = [("tables", "a b c"), ("describe a", "x y"), ("select", "one row"), ("submit", "accepted")]
    days = [
        event(START + 40 * day + 3.3 * n + n * n, "sql", "db", *step, trace=f"{day:032x}", tokens=100 + 50 * n)
        for day in range(6)
        for n, step in enumerate(steps)
    ]
    assert opens(days) == 0


def test_what_consumes_and_what_publishes_is_not_judged() -> None:
    for action in (ActionKind.CONSUME, ActionKind.PUBLISH):
        assert opens(event(START + n, "tick", "", "same", None, action=action) for n in range(50)) == 0


def test_a_model_that_answers_the_same_to_the_same_opens_and_one_that_says_yes_does_not() -> None:
    model = ActionKind.MODEL_CALL
    same = [event(START + 5 * n + n * n, "m", "", "why", "because", action=model, trace="d" * 32) for n in range(6)]
    assert opens(same) == 4
    other = [event(START + 5 * n + n * n, "m", "", f"is {chr(97 + n) * 4}", "yes", action=model) for n in range(20)]
    assert opens(other) == 0


def test_row_after_row_with_other_numbers_is_work() -> None:
    rows = [f"balance of account {n}" for n in range(60)]
    assert opens(calls(rows, [f"{n * n + 3} euros" for n in range(60)], tokens=50)) == 0


def flaky(answers: Iterable[str], operation: str = "fetch") -> list[Event]:
    """Twelve requests, each of which fails twice and then has an answer; a model thinks in between."""
    return [
        event(
            START + 5 * n, operation, "api", f"item {'x' * (n // 3)}", told, ok="503" not in told, tokens=100 + 60 * n
        )
        for n, told in enumerate(told for answer in answers for told in ("503 busy", "503 busy", answer))
    ]


def test_a_retry_that_succeeds_forgives_the_failures_before_it() -> None:
    assert not opens(flaky(f"answer {'y' * n}" for n in range(12)))


def test_success_that_brings_nothing_new_forgives_nothing() -> None:
    assert opens(flaky(["the same"] * 12))


def test_a_write_that_succeeds_at_last_forgives_though_it_always_answers_ok() -> None:
    assert not opens(flaky(["ok"] * 12, "api.put"))


def test_tests_that_fail_as_before_are_warned_of_whatever_was_edited_and_a_success_ends_it() -> None:
    def rounds(outcomes: list[bool]) -> list[Event]:
        return [
            event(
                START + 40.0 * n + 7 * step + n * n, *call, ok=passed or not step, trace="c" * 32, tokens=100 + 50 * n
            )
            for n, passed in enumerate(outcomes)
            for step, call in enumerate(
                [
                    ("edit", "app.py", WORDS[n], "edited"),
                    ("test", "repo", "pytest", "2 passed" if passed else "1 failed"),
                ]
            )
        ]

    assert actions(rounds([False] * 9)) == ["warn"]
    assert actions(rounds([False] * 5)) == []
    assert actions(rounds([*[False] * 4, True, *[False] * 4])) == []
