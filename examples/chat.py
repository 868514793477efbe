"""Asking a model: the ``openai`` client, inside the span that Fusebox guards and counts."""

from __future__ import annotations

from collections.abc import Callable

import openai
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from rabbitmq import Context

Messages = list[ChatCompletionMessageParam]
Chat = Callable[[str, Messages], ChatCompletion]
"""(model, messages) → answer."""


def openai_chat(base_url: str) -> Chat:
    """A chat with the provider at ``base_url``; proxies do not apply, it is on this machine."""
    client = openai.OpenAI(
        base_url=f"{base_url}/v1",
        api_key="the demo's server asks for none",
        http_client=openai.DefaultHttpxClient(trust_env=False),
    )
    return lambda model, messages: client.chat.completions.create(model=model, messages=messages)


def ask(ctx: Context, chat: Chat, model: str, system: str, user: str) -> str:
    """One question, one answer; guarded, traced and billed to the agent.

    Raises:
        Refused: a guard said no.
    """
    messages: Messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    with ctx.model_call(model, provider="openai", messages=messages) as call:
        answer = call.record(chat(model, messages))
    return answer.choices[0].message.content or ""
