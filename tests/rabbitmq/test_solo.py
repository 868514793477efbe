"""A subscription against a model of a RabbitMQ channel: whatever happens in which order, suspects are alone and nothing
gets stuck. The model pipelines commands and deliveries, so that anything may be on its way when anything else happens.
"""

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from pika import BasicProperties

from rabbitmq.amqp_consume import Subscription
from rabbitmq.broker import Delivery

PREFETCH = 3
BAD = b"bad"
few = st.integers(1, 6)


class ModelChannel:
    """One queue and one channel: commands go to the broker and frames to the client, each one step at a time."""

    is_open = True

    def __init__(self) -> None:
        self.ready: deque[tuple[bytes, bool]] = deque()
        self.acked: list[bytes] = []
        self.commands: deque[Callable[[], object]] = deque()
        self.frames: deque[Callable[[], object]] = deque()
        self._prefetch, self._tags, self._consumers = 0, 0, deque[SimpleNamespace]()
        self.unsettled: dict[int, tuple[SimpleNamespace, bytes]] = {}

    # --- what pika offers --------------------------------------------------------------------------------------------
    def add_on_cancel_callback(self, callback: object) -> None: ...

    def add_on_close_callback(self, callback: object) -> None: ...

    def basic_qos(self, prefetch_count: int = 0, callback: Callable[[None], object] | None = None) -> None:
        def serve() -> None:
            self._prefetch = prefetch_count
            self.frames.append(lambda: callback and callback(None))

        self.commands.append(serve)

    def basic_consume(self, queue: str, callback: Callable[..., None]) -> str:
        self._tags += 1
        consumer = SimpleNamespace(tag=str(self._tags), callback=callback, places=0)

        def serve() -> None:
            consumer.places = self._prefetch
            self._consumers.append(consumer)

        self.commands.append(serve)
        return str(consumer.tag)

    def _rpc(self, method: Any, callback: object, replies: object) -> None:
        def serve() -> None:
            self._consumers = deque(each for each in self._consumers if each.tag != method.consumer_tag)

        self.commands.append(serve)

    def _on_cancelok(self, frame: object) -> None: ...

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        def serve() -> None:
            tags = [each for each in self.unsettled if each <= tag] if multiple else [tag]
            self.acked.extend(self._settled(each) for each in tags)

        self.commands.append(serve)

    def basic_reject(self, tag: int, requeue: bool) -> None:
        assert requeue
        self.commands.append(lambda: self.ready.appendleft((self._settled(tag), True)))

    def close(self) -> None:
        """What is unsettled, or on its way, goes back to the queue."""
        self.is_open = False

        def serve() -> None:
            self._consumers.clear()
            for tag in reversed(self.unsettled):
                self.ready.appendleft((self.unsettled[tag][1], True))

        self.commands.append(serve)

    def read(self) -> None:
        """Let the client see one frame."""
        frame = self.frames.popleft()
        if self.is_open:
            frame()

    # --- the broker ---------------------------------------------------------------------------------------------------
    def serve(self) -> bool:
        """Carry out one command, and deliver what may be delivered; True when there are more commands."""
        if self.commands:
            self.commands.popleft()()
        while self.ready and (consumer := self._free()):
            self._deliver(consumer)
        return bool(self.commands)

    def _free(self) -> SimpleNamespace | None:
        self._consumers.rotate()
        return next((each for each in self._consumers if each.places), None)

    def _deliver(self, consumer: SimpleNamespace) -> None:
        body, redelivered = self.ready.popleft()
        self._tags += 1
        consumer.places -= 1
        self.unsettled[self._tags] = consumer, body
        method = SimpleNamespace(delivery_tag=self._tags, routing_key="", redelivered=redelivered)
        self.frames.append(lambda: consumer.callback(self, method, BasicProperties(), body))

    def _settled(self, tag: int) -> bytes:
        consumer, body = self.unsettled.pop(tag)
        consumer.places += 1
        return body


def at_once(action: Callable[[], None]) -> int:
    action()
    return -1


class Consuming(RuleBasedStateMachine):
    """A consumer that settles in any order, pauses, resumes, and raises for some messages."""

    def __init__(self) -> None:
        super().__init__()
        self.channel = ModelChannel()
        self.out: list[Delivery] = []
        self.wrong: list[str] = []
        self.published = self.bad = self.newest = 0
        self.active, self.pausing, self.raising = True, False, False
        self.consumer = Subscription(SimpleNamespace(run=at_once, post_lazily=at_once), "work", self.handle, PREFETCH)  # type: ignore[arg-type]
        connection = SimpleNamespace(channel=lambda on_open_callback: self.channel)
        self.consumer.open(connection, lambda: None, lambda reason: None)
        self.consumer._opened(self.channel, SimpleNamespace(succeed=lambda: None))  # type: ignore[arg-type]

    @initialize(pausing=st.booleans(), raising=st.booleans())
    def choose(self, pausing: bool, raising: bool) -> None:
        self.pausing, self.raising = pausing, raising
        self.calm()

    def handle(self, delivery: Delivery) -> None:
        """What is wrong is only noted: whatever a callback raises is swallowed."""
        suspects = [each for each in (*self.out, delivery) if each.redelivered]
        if suspects and self.out:
            self.wrong.append("a suspect was not alone")
        if delivery.tag < self.newest:
            self.wrong.append("a message was overtaken")
        if not self.active:
            self.wrong.append("a paused consumer got a message")
        self.newest = delivery.tag
        if delivery.message.body.startswith(BAD):
            raise ValueError("handler trouble")
        self.out.append(delivery)

    @rule(count=few, redelivered=st.booleans(), bad=st.booleans())
    def publish(self, count: int, redelivered: bool, bad: bool) -> None:
        """Fresh messages, or what another process left."""
        for _ in range(count):
            really_bad = self.raising and bad and self.bad < PREFETCH - 1
            self.published += 1
            self.bad += really_bad
            body = (BAD if really_bad else b"") + b"%d" % self.published
            (self.channel.ready.appendleft if redelivered else self.channel.ready.append)((body, redelivered))

    @rule(commands=few, frames=few)
    def flow(self, commands: int, frames: int) -> None:
        for _ in range(commands):
            self.channel.serve()
        for _ in range(min(frames, len(self.channel.frames))):
            self.channel.read()

    @rule()
    def calm(self) -> None:
        """Nothing is on its way."""
        while self.channel.serve() or self.channel.frames:
            if self.channel.frames:
                self.channel.read()

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, PREFETCH), ack=st.booleans())
    def settle(self, index: int, ack: bool) -> None:
        delivery = self.out.pop(index % len(self.out))
        if ack:
            delivery.ack()
        else:
            delivery.reject(requeue=True)

    @precondition(lambda self: self.pausing)
    @rule()
    def pause(self) -> None:
        self.active = False
        self.consumer.pause()

    @rule()
    def resume(self) -> None:
        self.active = True
        self.consumer.resume()

    @invariant()
    def nothing_is_wrong(self) -> None:
        assert self.wrong == []

    @invariant()
    def holds_no_more_than_prefetch(self) -> None:
        """What was out before a pause does not count after it."""
        assert self.pausing or len(self.channel.unsettled) <= PREFETCH + self.bad

    def teardown(self) -> None:
        """Once the consumer goes on, everything is handled; once it is cancelled, everything left is in the queue."""
        cancelled = bool(self.published % 2)
        self.active = not cancelled
        (self.consumer.cancel if cancelled else self.consumer.resume)()
        self.calm()
        while self.out:
            self.out.pop().ack()
            self.calm()
        self.nothing_is_wrong()
        good = [body for body in self.channel.acked if not body.startswith(BAD)]
        left = [body for body, _ in self.channel.ready if not body.startswith(BAD)]
        assert len(good) + len(left) == self.published - self.bad
        if not cancelled:
            assert not left


TestConsuming = Consuming.TestCase
TestConsuming.settings = settings(max_examples=400, stateful_step_count=60)
