-- What no call can have used counts as not told, in events as in the ledger, where it would spoil every sum; and a count below
-- zero is flagged there like one of 2^53 and more.
ALTER TABLE agent_events_mv MODIFY QUERY
WITH
    SpanAttributes AS a,
    a['gen_ai.operation.name'] AS gen_ai,
    gen_ai IN ('chat', 'generate_content', 'text_completion', 'embeddings') AS inference,
    a['messaging.operation.type'] AS messaging,
    action = 'model_call' AS billed,
    toDecimal128OrZero(a['fusebox.cost.usd'], 12) AS cost,
    name -> if(toUInt64OrZero(a[name]) < 9007199254740992, toUInt64OrZero(a[name]), 0) AS tokens,
    tokens('gen_ai.usage.input_tokens') AS input_new,
    tokens('gen_ai.usage.prompt_tokens') AS input_old,
    tokens('gen_ai.usage.output_tokens') AS output_new,
    tokens('gen_ai.usage.completion_tokens') AS output_old,
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

ALTER TABLE token_ledger_mv MODIFY QUERY
WITH
    SpanAttributes AS a,
    a['gen_ai.operation.name'] AS gen_ai,
    name -> toUInt64OrZero(a[name]) AS tokens,
    if(tokens('gen_ai.usage.input_tokens') != 0, tokens('gen_ai.usage.input_tokens'),
       tokens('gen_ai.usage.prompt_tokens')) AS input_told,
    if(tokens('gen_ai.usage.output_tokens') != 0, tokens('gen_ai.usage.output_tokens'),
       tokens('gen_ai.usage.completion_tokens')) AS output_told,
    tokens('gen_ai.usage.cache_read.input_tokens') AS read_told,
    tokens('gen_ai.usage.cache_creation.input_tokens') AS created_told,
    tokens('gen_ai.usage.reasoning.output_tokens') AS reasoning_told,
    n -> if(n < 9007199254740992, n, 0) AS sane,
    name -> toInt64OrZero(a[name]) AS signed,
    least(
        signed('gen_ai.usage.input_tokens'), signed('gen_ai.usage.prompt_tokens'), signed('gen_ai.usage.output_tokens'),
        signed('gen_ai.usage.completion_tokens'), signed('gen_ai.usage.cache_read.input_tokens'),
        signed('gen_ai.usage.cache_creation.input_tokens'), signed('gen_ai.usage.reasoning.output_tokens')) AS lowest,
    toDecimal128OrNull(a['fusebox.cost.usd'], 12) AS cost
SELECT
    addNanoseconds(Timestamp, least(Duration, 3600000000000000)) AS time,
    multiIf(
        a['gen_ai.agent.id'] != '', a['gen_ai.agent.id'],
        a['gen_ai.agent.name'] != '', a['gen_ai.agent.name'],
        ServiceName) AS agent,
    if(a['fusebox.tenant'] != '', a['fusebox.tenant'], 'default') AS tenant,
    if(a['fusebox.workflow'] != '', a['fusebox.workflow'], a['gen_ai.conversation.id']) AS workflow,
    gen_ai AS operation,
    if(a['gen_ai.provider.name'] != '', a['gen_ai.provider.name'], a['gen_ai.system']) AS provider,
    if(a['gen_ai.response.model'] != '', a['gen_ai.response.model'], a['gen_ai.request.model']) AS model,
    multiIf(
        a['fusebox.usage.cut'] = 'true', 'cut',
        StatusCode IN ('Error', 'STATUS_CODE_ERROR'), 'error',
        'ok') AS outcome,
    outcome != 'ok' AS wasted,
    sane(input_told) AS input_tokens,
    sane(output_told) AS output_tokens,
    sane(read_told) AS cache_read_tokens,
    sane(created_told) AS cache_creation_tokens,
    sane(reasoning_told) AS reasoning_tokens,
    multiIf(
        lowest < 0 OR greatest(input_told, output_told, read_told, created_told, reasoning_told) >= 9007199254740992,
        'impossible count',
        cache_read_tokens + cache_creation_tokens > input_tokens, 'cache exceeds input',
        reasoning_tokens > output_tokens, 'reasoning exceeds output',
        '') AS violation,
    CAST(if(cost >= 0 AND cost < 1000000, cost, NULL), 'Nullable(Decimal(18, 12))') AS cost_usd,
    multiIf(
        cost_usd IS NOT NULL, if(a['fusebox.cost.price'] != '', a['fusebox.cost.price'], 'unnamed'),
        input_tokens = 0 AND output_tokens = 0, 'unmetered',
        'unpriced') AS price,
    Duration / 1000000000 AS duration_s,
    a['gen_ai.response.id'] AS response_id,
    TraceId AS trace_id,
    SpanId AS span_id,
    ParentSpanId AS parent_id,
    _batch AS batch,
    _received AS received
FROM otel_traces
WHERE SpanAttributes['gen_ai.operation.name'] IN ('chat', 'generate_content', 'text_completion', 'embeddings')
  AND SpanAttributes['fusebox.usage.delegated'] != 'true';
