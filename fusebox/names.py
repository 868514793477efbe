"""Every attribute, header, exchange and queue name Fusebox puts on a wire, in one file.

Names under ``gen_ai.`` and ``messaging.`` are OpenTelemetry's (GenAI conventions 1.41, messaging conventions 1.44);
they are spelled out here because the published constants move between releases. Names under ``fusebox.`` are ours:
no convention covers circuits, verdicts, fingerprints or lineage yet.
"""

from typing import Final

# --- OpenTelemetry: GenAI ------------------------------------------------------------------------------------------
GEN_AI_OPERATION: Final = "gen_ai.operation.name"
GEN_AI_PROVIDER: Final = "gen_ai.provider.name"
GEN_AI_SYSTEM_OLD: Final = "gen_ai.system"
GEN_AI_REQUEST_MODEL: Final = "gen_ai.request.model"
GEN_AI_RESPONSE_MODEL: Final = "gen_ai.response.model"
GEN_AI_RESPONSE_ID: Final = "gen_ai.response.id"
GEN_AI_CONVERSATION: Final = "gen_ai.conversation.id"
GEN_AI_AGENT_ID: Final = "gen_ai.agent.id"
GEN_AI_AGENT_NAME: Final = "gen_ai.agent.name"
GEN_AI_TOOL_NAME: Final = "gen_ai.tool.name"
GEN_AI_TOOL_ARGUMENTS: Final = "gen_ai.tool.call.arguments"
GEN_AI_TOOL_RESULT: Final = "gen_ai.tool.call.result"
GEN_AI_INPUT_MESSAGES: Final = "gen_ai.input.messages"
GEN_AI_OUTPUT_MESSAGES: Final = "gen_ai.output.messages"
USAGE_INPUT: Final = "gen_ai.usage.input_tokens"
USAGE_OUTPUT: Final = "gen_ai.usage.output_tokens"
USAGE_CACHE_READ: Final = "gen_ai.usage.cache_read.input_tokens"
USAGE_CACHE_CREATION: Final = "gen_ai.usage.cache_creation.input_tokens"
USAGE_REASONING: Final = "gen_ai.usage.reasoning.output_tokens"
USAGE_INPUT_OLD: Final = "gen_ai.usage.prompt_tokens"
USAGE_OUTPUT_OLD: Final = "gen_ai.usage.completion_tokens"
USAGE_REASONING_OLD: Final = "gen_ai.usage.reasoning_tokens"

# What instrumentations from before these conventions write (OpenInference, Traceloop's OpenLLMetry).
OPENINFERENCE_KIND: Final = "openinference.span.kind"
TOOL_NAME: Final = "tool.name"
LLM_MODEL: Final = "llm.model_name"
LLM_PROVIDER: Final = "llm.provider"
LLM_SYSTEM: Final = "llm.system"
LLM_TOKENS_INPUT: Final = "llm.token_count.prompt"
LLM_TOKENS_OUTPUT: Final = "llm.token_count.completion"
LLM_TOKENS_CACHE_READ: Final = "llm.token_count.prompt_details.cache_read"
LLM_TOKENS_CACHE_CREATION: Final = "llm.token_count.prompt_details.cache_write"
LLM_TOKENS_REASONING: Final = "llm.token_count.completion_details.reasoning"
TRACELOOP_KIND: Final = "traceloop.span.kind"
TRACELOOP_ENTITY: Final = "traceloop.entity.name"
LLM_REQUEST_TYPE: Final = "llm.request.type"

INFERENCE_OPERATIONS: Final = frozenset({"chat", "generate_content", "text_completion", "embeddings"})
"""Values of :data:`GEN_AI_OPERATION` that bill tokens. ``invoke_agent`` spans repeat their children's usage."""

# --- OpenTelemetry: messaging and general ---------------------------------------------------------------------------
MESSAGING_SYSTEM: Final = "messaging.system"
MESSAGING_DESTINATION: Final = "messaging.destination.name"
MESSAGING_OPERATION_NAME: Final = "messaging.operation.name"
MESSAGING_OPERATION_TYPE: Final = "messaging.operation.type"
MESSAGING_MESSAGE_ID: Final = "messaging.message.id"
MESSAGING_CONVERSATION: Final = "messaging.message.conversation_id"
MESSAGING_ROUTING_KEY: Final = "messaging.rabbitmq.destination.routing_key"
MESSAGING_DELIVERY_TAG: Final = "messaging.rabbitmq.message.delivery_tag"
ERROR_TYPE: Final = "error.type"
SERVICE_NAME: Final = "service.name"
SERVICE_INSTANCE: Final = "service.instance.id"

# --- ours, on spans -------------------------------------------------------------------------------------------------
TENANT: Final = "fusebox.tenant"
ACTION: Final = "fusebox.action"
OPERATION: Final = "fusebox.operation"
TARGET: Final = "fusebox.target"
WORKFLOW: Final = "fusebox.workflow"
APPROVAL: Final = "fusebox.approval"
"""Id of the approval by which people agreed to it."""
REQUEST_HASH: Final = "fusebox.request.hash"
REQUEST_SIMHASH: Final = "fusebox.request.simhash"
REQUEST_EXACT: Final = "fusebox.request.exact"
RESULT_HASH: Final = "fusebox.result.hash"
RESULT_EXACT: Final = "fusebox.result.exact"
RESULT_WAITING: Final = "fusebox.result.waiting"
LINEAGE: Final = "fusebox.lineage"
DELEGATED: Final = "fusebox.usage.delegated"
SCORE_SPAN: Final = "fusebox.detector.score"
"""Name of the span by which watch tells a detector's highest score in a minute; the next three are its attributes."""
SCORE_AGENT: Final = "fusebox.score.agent"
SCORE_DETECTOR: Final = "fusebox.score.detector"
SCORE_VALUE: Final = "fusebox.score.value"
SEQUENCE: Final = "fusebox.seq"
"""Number of the span among those that its emitter (:data:`SERVICE_INSTANCE`) ended: 1, 2, 3 …"""
DROPPED: Final = "fusebox.dropped"
"""How many spans the emitter had given up when this one ended; left out while there are none."""
CANARY: Final = "fusebox.canary"
"""True on the span that *watch* sends through the whole path."""
CUT: Final = "fusebox.usage.cut"
"""True on an inference whose stream was left before its end: what it used was paid for nothing."""
ESTIMATED: Final = "fusebox.usage.estimated"
"""True on an inference whose provider was silent about its usage, or not to be believed: it is an estimate."""
ATTEMPT: Final = "fusebox.gateway.attempt"
"""Which attempt of its request an upstream call of the gateway is: 1, 2, 3 …"""
SUPERSEDED: Final = "fusebox.gateway.superseded"
"""True on an attempt that failed and was followed by another: the gateway's doing, not the agent's."""
TEAM: Final = "fusebox.team"
COST_USD: Final = "fusebox.cost.usd"
COST_PRICE: Final = "fusebox.cost.price"
CLAIMED_AGENT: Final = "fusebox.claimed_agent"
"""The agent id a span claimed when its token was not bound to it; the id itself is rewritten by *receive*."""
TIME_DOUBT: Final = "fusebox.time.doubt"
"""Why a span's times cannot be right: ``negative_duration``, ``future`` or ``past``; written by *receive* only."""
CONTEXT_READ: Final = "fusebox.context.read"
"""Numbers of the entries of its workflow's context that an agent was given: ``1-12,15``."""
CONTEXT_WROTE: Final = "fusebox.context.wrote"
"""Number of the entry that an agent added to its workflow's context; the next three are about it."""
CONTEXT_TYPE: Final = "fusebox.context.type"
CONTEXT_NAME: Final = "fusebox.context.name"
CONTEXT_BODY: Final = "fusebox.context.body"
LOG_ID: Final = "fusebox.log.id"
"""On log records, written by *receive* only: 16 hex digits that tell the records of a batch apart."""

# --- ours, on resources (written by *receive* only; what a sender put there is removed) -------------------------------
PRINCIPAL: Final = "fusebox.principal"
RECEIVED: Final = "fusebox.received"

# --- ours, in HTTP headers --------------------------------------------------------------------------------------------
HTTP_WORKFLOW: Final = "x-fusebox-workflow"
"""The workflow that a call through the gateway belongs to."""
HTTP_APPROVAL: Final = "x-fusebox-approval"
"""The approval that a call through the gateway, made again, was given."""

# --- ours, in AMQP headers (no ``x-`` prefix: RabbitMQ turns those into AMQP 1.0 annotations) -------------------------
H_TRACEPARENT: Final = "traceparent"
H_TRACESTATE: Final = "tracestate"
H_LINEAGE: Final = "fusebox-lineage"
H_LINEAGE_MAC: Final = "fusebox-lineage-mac"
H_AGENT: Final = "fusebox-agent"
"""The sender, where a message has no lineage to say it: ours have one, a foreign publisher may name itself."""
H_CONTEXT: Final = "fusebox-context"
"""Number of the newest entry of the workflow's context that the sender knew of."""
H_ATTEMPT: Final = "fusebox-attempt"
H_HELD_REASON: Final = "fusebox-held-reason"
H_HELD_FINDING: Final = "fusebox-held-finding"
H_DEAD_REASON: Final = "fusebox-dead-reason"
H_DEAD_STACK: Final = "fusebox-dead-stack"
H_APPROVAL: Final = "fusebox-approval"
"""The approval that a message waits, or waited, for."""
H_PARKED: Final = "fusebox-parked"
"""Routing key under which a parked publish is to go out."""
H_ORIGIN_KEY: Final = "fusebox-origin-key"
"""Routing key a held or dead message had, so that a release or a replay reaches the same handler."""

# --- ours, on the broker --------------------------------------------------------------------------------------------
EXCHANGE_EVENTS: Final = "fusebox.events"
EXCHANGE_CONTROL: Final = "fusebox.control"
EXCHANGE_UPLINK: Final = "fusebox.uplink"
EXCHANGE_DEAD: Final = "fusebox.dead"
EXCHANGE_ALERTS: Final = "fusebox.alerts"
EXCHANGE_OWN: Final = "fusebox.own"
"""Where agents put what they hold and bury; unlike on the default exchange, keys can be permitted one by one."""


def held_queue(agent: str) -> str:
    """Name of the queue that keeps the messages of a stopped agent."""
    return f"{agent}.held"


def approvals_queue(agent: str) -> str:
    """Name of the queue that keeps the messages for which a person is asked."""
    return f"{agent}.approvals"


def dead_queue(agent: str) -> str:
    """Name of the queue that keeps the messages an agent could not handle."""
    return f"{agent}.dead"
