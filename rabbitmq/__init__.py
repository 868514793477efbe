"""Carrying: AMQP wrappers for agents. Agent authors import :class:`Agent` and nothing else."""

import rabbitmq.ours  # noqa: F401 - first of all: it says which file hides one of our packages
from rabbitmq.agent import Agent
from rabbitmq.context import Context
from rabbitmq.middleware import Middleware, default_middleware
from rabbitmq.retry import Retry
from rabbitmq.runtime import Runtime

__all__ = ["Agent", "Context", "Middleware", "Retry", "Runtime", "default_middleware"]
