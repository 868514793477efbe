"""Middleware: hooks around what an agent does and what it is given. Each hook of the base class does nothing.

::

    an action (publish, model call, tool call)       a message
      before_action, first to last                     before_handle, first to last
        the work                                         the handler
          (a publish: handed_over, first to last)
      after_action, last to first                      after_handle, last to first
                                                       on_failure, first to last, until one says what becomes of it
                                                       settled, first to last

``after_…`` runs for every middleware whose ``before_…`` came through, with the error that ended the work, or None. An
error that a hook raises takes the place of the one before it.
"""

from __future__ import annotations

from rabbitmq.act import Act
from rabbitmq.run import Outcome, Run


class Middleware:
    """Override the hooks you care about. One instance serves all threads of an agent: what it remembers of one action
    or message belongs into ``act.notes`` or ``run.notes``."""

    def before_action(self, act: Act) -> None:
        """An action is about to happen; an exception prevents it and reaches the caller."""

    async def before_action_async(self, act: Act) -> None:
        """In place of ``before_action`` where a coroutine acts; override it, too, where that one may wait."""
        self.before_action(act)

    def handed_over(self, act: Act) -> None:
        """A publish is on its way, and its confirm is not there yet: the time for what costs some."""

    def after_action(self, act: Act, error: BaseException | None) -> None:
        """It has happened, or failed with ``error``."""

    def before_handle(self, run: Run) -> None:
        """A message is about to be handled; an exception prevents it and counts as the handler's.

        Raises:
            SkipHandler: settle the message as this says, without the handler.
        """

    def after_handle(self, run: Run, error: BaseException | None) -> None:
        """The handler has returned, or raised ``error``."""

    def on_failure(self, run: Run, error: BaseException) -> Outcome | None:
        """What becomes of a message whose handler raised; None leaves it to the next one, in the end to the dead
        queue."""

    def settled(self, run: Run, outcome: Outcome) -> None:
        """The message is where ``outcome`` says; an exception is logged and changes nothing."""
