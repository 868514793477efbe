"""Small agents as people write them, in a program of their own, each under a real GenAI instrumentation.

Runs in the environment of ``requirements.txt`` (``tools/instrumentations.sh``). ``python speakers.py --list`` prints
the names of all; ``python speakers.py OTLP_URL TOKEN PROVIDER_URL NAME…`` plays some: each with the model ``working``
as the agent ``NAME-working``, then with ``looping`` as ``NAME-looping``. Their spans go out by OpenTelemetry's own
exporter. Nothing here knows Fusebox.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

# Read when the instrumentations are imported: content on spans, as their documentation says.
os.environ |= {
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
    "TRACELOOP_TRACE_CONTENT": "true", "OPENAI_API_KEY": "none", "ANTHROPIC_API_KEY": "none",
    "LANGSMITH_TRACING": "false", "NO_PROXY": "127.0.0.1",
}  # fmt: skip

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

TURNS: Final = 8
TASK: Final = "Where is the parcel of order 4711?"
TELLS: Final = "Searches one place for the parcel."
_WHERE: Final = {"type": "object", "properties": {"where": {"type": "string"}}, "required": ["where"]}


def search(where: str) -> str:
    """Searches one place for the parcel."""
    return "nothing found" if where == "everywhere" else f"the {where} has {len(where) * 7} parcels of other people"


def openai_chat(url: str, model: str) -> None:
    """A loop over chat completions, as in OpenAI's guide to function calling."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1")
    tool = {"type": "function", "function": {"name": "search", "description": TELLS, "parameters": _WHERE}}
    messages: list[Any] = [{"role": "user", "content": TASK}]
    for _ in range(TURNS):
        answer = client.chat.completions.create(model=model, messages=messages, tools=[tool]).choices[0].message
        messages.append(answer.model_dump(exclude_none=True))
        for call in answer.tool_calls or ():
            result = search(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


def openai_responses(url: str, model: str) -> None:
    """The same over the Responses API."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1")
    tool = {"type": "function", "name": "search", "description": TELLS, "parameters": _WHERE}
    said: list[Any] = [{"role": "user", "content": TASK}]
    for _ in range(TURNS):
        answer = client.responses.create(model=model, input=said, tools=[tool])
        for item in answer.output:
            said.append(item.model_dump(exclude_none=True))
            if item.type == "function_call":
                result = search(**json.loads(item.arguments))
                said.append({"type": "function_call_output", "call_id": item.call_id, "output": result})


def anthropic_messages(url: str, model: str) -> None:
    """A loop over Anthropic's messages."""
    import anthropic

    client = anthropic.Anthropic(base_url=url)
    tool = {"name": "search", "description": TELLS, "input_schema": _WHERE}
    messages: list[Any] = [{"role": "user", "content": TASK}]
    for _ in range(TURNS):
        answer = client.messages.create(model=model, messages=messages, tools=[tool], max_tokens=500)
        messages.append({"role": "assistant", "content": [part.model_dump() for part in answer.content]})
        used = [part for part in answer.content if part.type == "tool_use"]
        results = [{"type": "tool_result", "tool_use_id": part.id, "content": search(**part.input)} for part in used]
        if results:
            messages.append({"role": "user", "content": results})


def langchain_agent(url: str, model: str) -> None:
    """LangChain's agent, which runs on LangGraph."""
    from langchain.agents import create_agent
    from langchain_core.tools import tool
    from langchain_openai import ChatOpenAI
    from langgraph.errors import GraphRecursionError

    agent = create_agent(ChatOpenAI(model=model, base_url=f"{url}/v1"), [tool(search)])
    try:
        agent.invoke({"messages": [{"role": "user", "content": TASK}]}, {"recursion_limit": 2 * TURNS + 1})
    except GraphRecursionError:
        pass


def openai_agent(url: str, model: str) -> None:
    """OpenAI's agents SDK."""
    import agents
    import openai

    client = openai.AsyncOpenAI(base_url=f"{url}/v1")
    chosen = agents.OpenAIResponsesModel(model, client)
    agent = agents.Agent(name=f"finder-{model}", model=chosen, tools=[agents.function_tool(search)])
    try:
        asyncio.run(agents.Runner.run(agent, TASK, max_turns=TURNS))
    except agents.MaxTurnsExceeded:
        pass


_FORK: Final = multiprocessing.get_context("fork")
_OFFICIAL: Final = "opentelemetry.instrumentation.genai"
_TRACELOOP: Final = "opentelemetry.instrumentation"
_INFERENCE: Final = "openinference.instrumentation"
RUNS: Final[dict[str, tuple[str, Callable[[str, str], None]]]] = {
    "otel-openai": (f"{_OFFICIAL}.openai:OpenAIInstrumentor", openai_chat),
    "otel-openai-responses": (f"{_OFFICIAL}.openai:OpenAIInstrumentor", openai_responses),
    "otel-anthropic": (f"{_OFFICIAL}.anthropic:AnthropicInstrumentor", anthropic_messages),
    "otel-langchain": (f"{_OFFICIAL}.langchain:LangChainInstrumentor", langchain_agent),
    "otel-agents": (f"{_OFFICIAL}.openai_agents:OpenAIAgentsInstrumentor", openai_agent),
    "traceloop-openai": (f"{_TRACELOOP}.openai:OpenAIInstrumentor", openai_chat),
    "traceloop-openai-responses": (f"{_TRACELOOP}.openai:OpenAIInstrumentor", openai_responses),
    "traceloop-anthropic": (f"{_TRACELOOP}.anthropic:AnthropicInstrumentor", anthropic_messages),
    "traceloop-langchain": (f"{_TRACELOOP}.langchain:LangchainInstrumentor", langchain_agent),
    "traceloop-agents": (f"{_TRACELOOP}.openai_agents:OpenAIAgentsInstrumentor", openai_agent),
    "openinference-openai": (f"{_INFERENCE}.openai:OpenAIInstrumentor", openai_chat),
    "openinference-openai-responses": (f"{_INFERENCE}.openai:OpenAIInstrumentor", openai_responses),
    "openinference-anthropic": (f"{_INFERENCE}.anthropic:AnthropicInstrumentor", anthropic_messages),
    "openinference-langchain": (f"{_INFERENCE}.langchain:LangChainInstrumentor", langchain_agent),
    "openinference-agents": (f"{_INFERENCE}.openai_agents:OpenAIAgentsInstrumentor", openai_agent),
}
"""What instruments, and what is instrumented."""


def play(name: str, model: str, otlp: str, token: str, provider: str) -> None:
    """One agent, whose spans go to ``otlp`` as those of the service ``NAME-MODEL``."""
    instrumentor, run = RUNS[name]
    module, _, kind = instrumentor.partition(":")
    tracing = TracerProvider(resource=Resource({"service.name": f"{name}-{model}"}), shutdown_on_exit=False)
    exporter = OTLPSpanExporter(f"{otlp}/v1/traces", headers={"authorization": f"Bearer {token}"})
    tracing.add_span_processor(BatchSpanProcessor(exporter))
    getattr(import_module(module), kind)().instrument(tracer_provider=tracing)
    run(provider, model)
    tracing.shutdown()


def main(otlp: str, token: str, provider: str, *names: str) -> None:
    """Play some, each in a fork of its own: instrumentations patch, and one must not see what another did."""
    for library in ("openai", "anthropic", "agents", "langchain.agents", "langchain_openai"):
        import_module(library)
    import_module("agents").set_trace_processors([])  # the SDK's own tells OpenAI
    for model in ("working", "looping"):
        plays = [_FORK.Process(target=play, args=(name, model, otlp, token, provider), name=name) for name in names]
        for one in plays:
            one.start()
        for one in plays:
            one.join()
        failed = [one.name for one in plays if one.exitcode]
        if failed:
            sys.exit(f"{model} failed: {', '.join(failed)}")


if __name__ == "__main__":
    print(*RUNS) if sys.argv[1:] == ["--list"] else main(*sys.argv[1:])
