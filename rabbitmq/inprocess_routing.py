"""Which queues a message of the in-process broker reaches: exchanges, bindings and their conflicts. Not thread-safe."""

from __future__ import annotations

from fusebox.errors import ConfigError, Unroutable
from rabbitmq.broker import Binding, Exchange, ExchangeType
from rabbitmq.topology import topic_matches


class Routing:
    """The exchanges and their bindings."""

    def __init__(self) -> None:
        self._exchanges: dict[str, Exchange] = {}
        self._bindings: dict[str, dict[Binding, None]] = {}

    def add_exchange(self, exchange: Exchange) -> None:
        """Raises ConfigError when it exists with another type."""
        known = self._exchanges.setdefault(exchange.name, exchange)
        if known != exchange:
            raise ConfigError(
                f"exchange {exchange.name!r} is declared as {exchange.type}, but exists as {known.type}; use one type"
            )
        self._bindings.setdefault(exchange.name, {})

    def bind(self, binding: Binding) -> None:
        """Raises ConfigError when the exchange does not exist."""
        if binding.exchange not in self._exchanges:
            raise ConfigError(f"queue {binding.queue!r} cannot be bound: no exchange {binding.exchange!r}; declare it")
        self._bindings[binding.exchange][binding] = None

    def unbind_queue(self, queue: str) -> None:
        """Forget every binding of a queue."""
        for name, bindings in self._bindings.items():
            self._bindings[name] = {binding: None for binding in bindings if binding.queue != queue}

    def queues_for(self, exchange: str, key: str) -> list[str]:
        """Names of the queues, each once. The default exchange ``""`` names the queue by the key.

        Raises:
            Unroutable: there is no such exchange.
        """
        if not exchange:
            return [key]
        kind = self._exchanges.get(exchange)
        if kind is None:
            raise Unroutable(f"there is no exchange {exchange!r}; declare it first")
        return list(dict.fromkeys(b.queue for b in self._bindings[exchange] if _takes(kind.type, b.key, key)))


def _takes(kind: ExchangeType, pattern: str, key: str) -> bool:
    if kind is ExchangeType.TOPIC:
        return topic_matches(pattern, key)
    return kind is ExchangeType.FANOUT or pattern == key
