"""The errors a caller can meet, grouped by what the caller can do about them.

::

    FuseboxError
    ├── Retryable                 try again later; nothing was done
    │   ├── BrokerUnavailable       no connection to the broker
    │   ├── PublishTimeout          no confirm within the deadline (the message may still arrive)
    │   ├── PublishBlocked          the broker raised a memory or disk alarm
    │   ├── PublishNacked           the broker refused the message (queue full)
    │   ├── OutboxFull              the broker is away and the outbox holds all it may
    │   ├── BatchUnconfirmed        some of many publishes failed, each with an error of this branch
    │   ├── StoreUnavailable        Redis (or its twin) did not answer
    │   ├── ContextConflict         a workflow's fact has changed since it was read
    │   └── ControlUnavailable      *watch* did not answer
    ├── Refused                   a guard said no; doing it again changes nothing until somebody acts
    │   ├── AgentTripped            the agent's circuit is open
    │   │   └── AgentKilled           a person or a detector cut the agent; only a resume lifts it
    │   ├── ApprovalPending         a person is asked; the same action goes ahead once they have agreed
    │   ├── ApprovalUnavailable     nobody can be asked just now (also of the branch above)
    │   ├── ApprovalDenied          a person said no, or nobody answered in time
    │   ├── AgentUnverified         no signed board snapshot yet, so the latch cannot be trusted
    │   └── LoopDetected            the message's own lineage shows a ring without progress
    └── Permanent                 fix the call, the message or the configuration
        ├── ConfigError             a setting is unknown, missing or contradictory
        ├── Unroutable              no queue is bound for the routing key
        ├── BatchFailed             some of many publishes failed, at least one for good
        ├── BadMessage              a message that cannot be read
        ├── BadCommand              a Command with a bad signature, shape or age
        │   └── StaleCommand          it is only too old (or from the future)
        ├── ContextLost             what a workflow remembered is gone, or an older state of it came back
        ├── ContextTampered         what a workflow remembered was changed by somebody without the key
        ├── ContextFull             it does not fit into what a workflow may remember
        ├── PortInUse               another program listens there
        ├── DataDirInUse            another process owns the data folder
        └── Shadowed                another module hides one of our packages

:class:`BatchError` is both of the batch's errors; it lists the messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from fusebox.records import Action, Verdict


class FuseboxError(Exception):
    """Root of the tree above."""


class Retryable(FuseboxError):
    """Nothing was done; the same call may succeed later."""


class BrokerUnavailable(Retryable):
    """No connection to the broker."""


class PublishTimeout(Retryable):
    """No confirm arrived within the deadline; the message may still have been stored."""


class PublishBlocked(Retryable):
    """The broker blocks publishers (memory or disk alarm)."""


class PublishNacked(Retryable):
    """The broker refused to store the message."""


class OutboxFull(Retryable):
    """The broker is away and the outbox holds as much as it may; the message was not kept."""


class StoreUnavailable(Retryable):
    """The state store did not answer."""


class ContextConflict(Retryable):
    """A fact of the workflow has another version than the caller read; nothing was written."""


class ControlUnavailable(Retryable):
    """The control API did not answer."""


class Refused(FuseboxError):
    """A guard refused an action. Carries the action and the verdict."""

    def __init__(self, action: Action, verdict: Verdict) -> None:
        super().__init__(
            f"{action.agent}: {action.kind} {action.operation} refused by {verdict.guard}: {verdict.reason}"
        )
        self.action = action
        self.verdict = verdict


class AgentTripped(Refused):
    """The agent's circuit is open."""


class AgentKilled(AgentTripped):
    """The agent is cut until somebody resumes it."""


class AgentUnverified(Refused):
    """The process has not yet seen a signed board snapshot."""


class ApprovalPending(Refused):
    """A person has been asked. In a handler, let it pass: the message comes again once they have answered.

    Attributes:
        approval: id of what they are asked.
    """

    def __init__(self, action: Action, verdict: Verdict, approval: str) -> None:
        super().__init__(action, verdict)
        self.approval = approval


class ApprovalUnavailable(Refused, Retryable):
    """*watch* does not answer, or the people have enough to answer already."""


class ApprovalDenied(Refused):
    """A person said no, nobody answered in time, or nobody may be asked."""


class LoopDetected(Refused):
    """The lineage of the message at hand is a ring that brings nothing new."""


class Permanent(FuseboxError):
    """Trying again cannot help."""


class ConfigError(Permanent):
    """A setting is unknown, missing or contradictory; the text names the fix."""


class Unroutable(Permanent):
    """No queue is bound for this routing key."""


class BadMessage(Permanent):
    """A message that cannot be read or validated."""


class BadCommand(Permanent):
    """A Command that must not be obeyed."""


class StaleCommand(BadCommand):
    """A genuine Command outside its window; carriers that keep Commands bring such to every process that starts."""


class ContextLost(Permanent):
    """A workflow's context holds less than was written: lost, expired, or an older state of it came back."""


class ContextTampered(Permanent):
    """A workflow's context was changed by somebody without the key."""


class ContextFull(Permanent):
    """An entry or a fact is larger than what a workflow may keep."""


class PortInUse(Permanent):
    """Another program listens on the port."""


class DataDirInUse(Permanent):
    """Another process owns the data folder."""


class Shadowed(Permanent):
    """A module of another project hides one of ours."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One message of a batch that was not confirmed."""

    position: int
    """Its place in the batch, from 0."""
    key: str
    message_id: str
    error: FuseboxError


_NAMED: Final = 5


class BatchError(FuseboxError):
    """Some messages of a batch were not published; all others were confirmed.

    Args:
        failures: the messages that were not, in the order of the batch.
        total: messages in the batch.
    """

    def __init__(self, failures: Iterable[Failure], total: int) -> None:
        self.failures, self.total = tuple(failures), total
        told = [f"#{f.position} {f.key} ({f.message_id}): {f.error}" for f in self.failures[:_NAMED]]
        more = len(self.failures) - len(told)
        told += [f"and {more} more, see .failures"] if more else []
        super().__init__(f"{len(self.failures)} of {total} messages were not published: {'; '.join(told)}")

    @staticmethod
    def of(failures: Iterable[Failure], total: int) -> BatchError:
        """The error for these failures: retryable when every one of them is."""
        failed = tuple(failures)
        retryable = all(isinstance(failure.error, Retryable) for failure in failed)
        return BatchUnconfirmed(failed, total) if retryable else BatchFailed(failed, total)


class BatchUnconfirmed(BatchError, Retryable):
    """Every message that failed may be tried again."""


class BatchFailed(BatchError, Permanent):
    """At least one message can never be published as it is."""
