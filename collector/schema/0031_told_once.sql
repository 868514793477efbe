-- What an agent did is one row, also where two spans tell it: the agent's own span of a call that the gateway made for it,
-- and attempts that were followed by another, are in otel_traces and, as far as they cost something, in token_ledger.
ALTER TABLE agent_events_mv MODIFY QUERY
WITH
    SpanAttributes AS a,
    a['gen_ai.operation.name'] AS gen_ai,
    gen_ai IN ('chat', 'generate_content', 'text_completion', 'embeddings') AS inference,
    a['messaging.operation.type'] AS messaging,
    action = 'model_call' AS billed,
    toDecimal128OrZero(a['fusebox.cost.usd'], 12) AS cost,
    toUInt64OrZero(a['gen_ai.usage.input_tokens']) AS input_new,
    toUInt64OrZero(a['gen_ai.usage.prompt_tokens']) AS input_old,
    toUInt64OrZero(a['gen_ai.usage.output_tokens']) AS output_new,
    toUInt64OrZero(a['gen_ai.usage.completion_tokens']) AS output_old,
    hex -> if(match(hex, '^[0-9a-fA-F]{1,16}$'), reinterpretAsUInt64(reverse(unhex(leftPad(hex, 16, '0')))), 0) AS number
SELECT
    addNanoseconds(Timestamp, least(Duration, 3600000000000000)) AS time,
    multiIf(
        a['gen_ai.agent.id'] != '', a['gen_ai.agent.id'],
        a['gen_ai.agent.name'] != '', a['gen_ai.agent.name'],
        ServiceName) AS agent,
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    multiIf(
        a['fusebox.action'] IN ('publish', 'consume', 'model_call', 'tool_call'), a['fusebox.action'],
        inference, 'model_call',
        gen_ai = 'execute_tool', 'tool_call',
        messaging IN ('send', 'publish'), 'publish',
        messaging = 'process', 'consume',
        '') AS action,
    multiIf(
        a['fusebox.operation'] != '', a['fusebox.operation'],
        a['gen_ai.tool.name'] != '', a['gen_ai.tool.name'],
        a['gen_ai.request.model'] != '', a['gen_ai.request.model'],
        a['messaging.destination.name'] != '', a['messaging.destination.name'],
        gen_ai) AS operation,
    a['fusebox.target'] AS target,
    if(a['fusebox.workflow'] != '', a['fusebox.workflow'], a['gen_ai.conversation.id']) AS workflow,
    number(a['fusebox.request.hash']) AS request_hash,
    number(a['fusebox.request.simhash']) AS simhash,
    number(a['fusebox.result.hash']) AS result_hash,
    StatusCode NOT IN ('Error', 'STATUS_CODE_ERROR') AS ok,
    a['error.type'] AS error_type,
    if(billed, if(input_new != 0, input_new, input_old), 0) AS input_tokens,
    if(billed, if(output_new != 0, output_new, output_old), 0) AS output_tokens,
    CAST(if(billed AND cost > 0 AND cost < 1000000, cost, 0), 'Decimal(18, 12)') AS cost_usd,
    a['fusebox.cost.price'] AS price,
    Duration / 1000000000 AS duration_s,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    a['fusebox.lineage'] AS lineage,
    _batch AS batch,
    _received AS received
FROM otel_traces
WHERE action != ''
  AND a['fusebox.usage.delegated'] != 'true'
  AND a['fusebox.gateway.superseded'] != 'true';
