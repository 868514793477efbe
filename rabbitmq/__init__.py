"""Carrying: AMQP wrappers for agents. Agent authors import :class:`Agent` and nothing else."""

from rabbitmq.agent import Agent
from rabbitmq.context import Context
from rabbitmq.runtime import Runtime

__all__ = ["Agent", "Context", "Runtime"]
