"""What a call may cost at worst, known before it is made and without a tokenizer.

Input: a token of any byte-level tokenizer stands for at least one byte, so a body of n UTF-8 bytes is at most n tokens;
pictures, files and recordings, whose bytes say little, are counted at a fixed worst case each beside that. Output:
``max_tokens`` of the request, or else twice what the agent's answers by this model have stayed under 99 times of 100;
the gateway then writes that number into the request, so that the provider keeps to it. Twice, because an answer that is
cut short may mean something else, and what is not used is given back.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections import OrderedDict, deque
from collections.abc import Callable
from decimal import Decimal
from threading import Lock
from typing import Final

from gateway.limits.rules import Demand

DEFAULT_OUTPUT: Final = 4096
"""Output tokens reserved for an agent nothing is known about."""

MEDIA_TOKENS: Final = 16_384
"""Input tokens for each picture, file or recording, beside its bytes."""

_REMEMBERED: Final = 200
_ENOUGH: Final = 20
_MARGIN: Final = 2

Price = Callable[[int, int], Decimal]
"""US dollars for so many input and output tokens."""


def worst_case(
    body_bytes: int, output_tokens: int, *, media: int = 0, choices: int = 1, price: Price | None = None
) -> Demand:
    """The demand of a call nobody has answered yet.

    Args:
        body_bytes: UTF-8 bytes of the request's body.
        output_tokens: ``max_tokens`` of the request, or :meth:`Learner.output`.
        media: pictures, files and recordings that the body holds or points to.
        choices: answers asked for (``n``).
        price: dollars of so many tokens; left out, no money is reserved.
    """
    taken, given = body_bytes + media * MEDIA_TOKENS, output_tokens * choices
    return Demand(taken, given, price(taken, given) if price else Decimal(0))


class Learner:
    """How long each agent's answers by each model are. Thread-safe and bounded.

    Args:
        default: output tokens assumed until twenty answers are known.
        max_pairs: pairs of agent and model remembered; the one that was silent longest goes first.
    """

    def __init__(self, default: int = DEFAULT_OUTPUT, max_pairs: int = 10_000) -> None:
        self._default, self._max = default, max_pairs
        self._seen: OrderedDict[tuple[str, str], _Lengths] = OrderedDict()
        self._lock = Lock()

    def saw(self, agent: str, model: str, output_tokens: int) -> None:
        """Note the length of one answer; one that was cut at its reservation makes the next reservations larger."""
        pair = agent, model
        with self._lock:
            if pair not in self._seen:
                self._seen[pair] = _Lengths()
            self._seen[pair].add(output_tokens)
            self._seen.move_to_end(pair)
            if len(self._seen) > self._max:
                self._seen.popitem(last=False)

    def output(self, agent: str, model: str) -> int:
        """Tokens to reserve for an answer: twice the 99th percentile (nearest rank) of the last 200, or the default."""
        with self._lock:
            seen = self._seen.get((agent, model))
            return self._default if seen is None or len(seen.by_size) < _ENOUGH else max(1, _MARGIN * seen.percentile)


class _Lengths:
    """The last answers of one pair, in the order they came and by size."""

    def __init__(self) -> None:
        self._by_age: deque[int] = deque()
        self.by_size: list[int] = []
        self.percentile = 0
        """The 99th, nearest rank."""

    def add(self, length: int) -> None:
        self._by_age.append(length)
        insort(self.by_size, length)
        if len(self._by_age) > _REMEMBERED:
            del self.by_size[bisect_left(self.by_size, self._by_age.popleft())]
        self.percentile = self.by_size[math.ceil(0.99 * len(self.by_size)) - 1]
