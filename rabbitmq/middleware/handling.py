"""What a message goes through before its handler: its type, its claim; and after a failure: its retry."""

from __future__ import annotations

from fusebox import happenings
from fusebox.errors import BadMessage
from rabbitmq.claims import DUPLICATE, Claim
from rabbitmq.handlers import Handler
from rabbitmq.identity import check_sender
from rabbitmq.middleware.base import Middleware
from rabbitmq.middleware.tracing import open_span
from rabbitmq.parking import FORWARD, is_parked
from rabbitmq.run import Done, Outcome, Postpone, Retried, Run, SkipHandler
from rabbitmq.topology import topic_matches


class Decoding(Middleware):
    """Finds the handler and validates the payload. Before the circuit: a stranger's bad message is not the agent's
    failure."""

    def before_handle(self, run: Run) -> None:
        """
        Raises:
            BadMessage: no handler takes it, it does not fit, or nobody vouches for its sender.
        """
        try:
            if run.runtime.config.require_sender and run.runtime.broker.remote:
                check_sender(run.message, run.lineage, run.agent)
            run.handler = _find(run)
            run.payload = run.handler.decode(run.message.body)
        except BadMessage as error:
            open_span(run).close(error)
            raise


class Idempotence(Middleware):
    """Claims the message: no completed handler runs twice for it within the window (:mod:`rabbitmq.claims`)."""

    def before_handle(self, run: Run) -> None:
        """
        Raises:
            SkipHandler: its handler has completed before, or is at work elsewhere.
        """
        claim = run.runtime.claims.take(run.agent, run.message.message_id, repeated=run.repeated)
        if claim is Claim.DONE:
            happenings.emit(DUPLICATE, agent=run.agent, message_id=run.message.message_id)
            raise SkipHandler(Done())
        if claim is Claim.BUSY:
            raise SkipHandler(Postpone())
        run.again = run.again or claim is Claim.AGAIN

    def after_handle(self, run: Run, error: BaseException | None) -> None:
        end = run.runtime.claims.done if error is None else run.runtime.claims.give_up
        end(run.agent, run.message.message_id)


class Retrying(Middleware):
    """Applies the handler's :class:`rabbitmq.retry.Retry`."""

    def on_failure(self, run: Run, error: BaseException) -> Outcome | None:
        if run.handler is None or not isinstance(error, Exception):
            return None
        delay = run.handler.retry.delay(error, run.attempt)
        return None if delay is None else Retried(error, delay, run.attempt + 1)


def _find(run: Run) -> Handler:
    if is_parked(run.delivery, run.agent):
        return FORWARD
    for handler in run.handlers.values():
        if topic_matches(handler.key, run.key):
            return handler
    raise BadMessage(f"no handler of {run.agent} takes routing key {run.key!r}")
