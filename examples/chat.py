"""Asking a model: the ``openai`` client, inside the span that Fusebox guards and counts.

The client takes a second to load, so only the processes of agents that ask a model load it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from rabbitmq import Context

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

Messages: TypeAlias = "list[ChatCompletionMessageParam]"
Chat: TypeAlias = "Callable[[str, Messages, dict[str, str]], ChatCompletion]"
"""(model, messages, headers) → answer."""


def openai_chat(base_url: str, key: str) -> Chat:
    """A chat through the gateway at ``base_url``; proxies do not apply, it is on this machine."""
    import openai  # heavy: see the module

    client = openai.OpenAI(
        base_url=f"{base_url}/v1",
        api_key=key,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )

    def chat(model: str, messages: Messages, headers: dict[str, str]) -> ChatCompletion:
        return client.chat.completions.create(model=model, messages=messages, extra_headers=headers)

    return chat


def ask(ctx: Context, chat: Chat, model: str, system: str, user: str) -> str:
    """One question, one answer; guarded, traced and billed to the agent.

    Raises:
        Refused: a guard said no.
    """
    messages: Messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    with ctx.model_call(model, provider="openai", messages=messages) as call:
        answer = call.record(chat(model, messages, call.through_gateway()))
    return answer.choices[0].message.content or ""
