"""The APIs that agents may speak: how each one asks, answers, counts and fails."""

from gateway.dialects.anthropic import Messages, TokenCount
from gateway.dialects.base import Ask, Dialect, Plain, Wire
from gateway.dialects.openai import Chat, Embeddings, Responses

__all__ = ["Ask", "Chat", "Dialect", "Embeddings", "Messages", "Plain", "Responses", "TokenCount", "Wire"]
