"""Course: how far an agent has come, in counters that only grow. The file of an outcome notes where they stood."""

from __future__ import annotations

from typing import Final

from fusebox.records import Event

_TASK: Final = 3


class Course:
    """See the module.

    Attributes:
        novelties: outcomes that were not seen before.
        works: those of them that a new request had.
        thoughts: what models said, and what was read.
        task: traces of several steps that were followed by another one.
        asker: times that work was for somebody else.
    """

    __slots__ = ("_askers", "_in_trace", "_trace", "asker", "novelties", "task", "thoughts", "works")

    def __init__(self) -> None:
        self.novelties = self.works = self.thoughts = self.task = self.asker = 0
        self._trace, self._in_trace = "", 0
        self._askers = ("", "")  # the latest two: to go to and fro between them is not for others

    def follow(self, event: Event) -> bool:
        """Note whose work ``event`` is; True when another task begins, which may well begin like the one before."""
        trace, begins = event.trace_id, False
        if trace != self._trace or not trace:
            self._serve(event.workflow)
        if trace != self._trace:
            begins = self._in_trace >= _TASK
            self.task += begins
            self._trace, self._in_trace = trace, 0
        self._in_trace += 1
        return begins

    def _serve(self, workflow: str) -> None:
        """Work for a workflow. One that begins within a trace is the agent's own doing, and nobody else asks."""
        latest, before = self._askers
        if workflow == latest:
            return
        if workflow != before:
            self.asker += 1
        self._askers = workflow, latest
