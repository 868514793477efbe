"""Guards: the first that does not allow decides, and one that cannot answer denies."""

from dataclasses import dataclass

import pytest

from fusebox import happenings
from fusebox.errors import AgentKilled, AgentTripped, AgentUnverified, LoopDetected, Refused
from fusebox.guard import Guards, allow, deny
from fusebox.records import Action, ActionKind, Decision, Verdict

ACTION = Action(ActionKind.TOOL_CALL, "a", "jira.comment")


@dataclass
class Fixed:
    name: str
    verdict: Verdict | None = None
    asked: int = 0

    def check(self, action: Action) -> Verdict:
        self.asked += 1
        if self.verdict is None:
            raise KeyError("no rule")
        return self.verdict


def test_all_allow() -> None:
    guards = Guards([Fixed("one", allow("one")), Fixed("two", allow("two"))])
    assert guards.check(ACTION).allowed
    guards.enforce(ACTION)


def test_the_first_no_decides_and_later_guards_are_not_asked() -> None:
    later = Fixed("later", allow("later"))
    verdict = Guards([Fixed("one", allow("one")), Fixed("two", deny("two", "because")), later]).check(ACTION)
    assert (verdict.guard, verdict.reason, later.asked) == ("two", "because", 0)


def test_a_broken_guard_denies_and_is_counted() -> None:
    before = happenings.counts()["guard_failed"]
    with pytest.raises(Refused, match="no rule"):
        Guards([Fixed("policy")]).enforce(ACTION)
    assert happenings.counts()["guard_failed"] == before + 1


def test_hold_does_not_let_through() -> None:
    with pytest.raises(Refused):
        Guards([Fixed("approval", Verdict(Decision.HOLD, "approval", "needs a yes"))]).enforce(ACTION)


@pytest.mark.parametrize(
    ("guard", "error"),
    [
        ("latch", AgentKilled),
        ("circuit", AgentTripped),
        ("snapshot", AgentUnverified),
        ("lineage", LoopDetected),
        ("x", Refused),
    ],
)
def test_each_guard_has_its_error(guard: str, error: type[Refused]) -> None:
    with pytest.raises(error) as caught:
        Guards([Fixed(guard, deny(guard, "why", finding="fnd_1", retry_after=3.0))]).enforce(ACTION)
    assert type(caught.value) is error
    assert (caught.value.action, caught.value.verdict.finding) == (ACTION, "fnd_1")
    assert str(caught.value) == f"a: tool_call jira.comment refused by {guard}: why"


def test_a_kill_is_a_trip_to_who_catches_trips() -> None:
    assert issubclass(AgentKilled, AgentTripped)
