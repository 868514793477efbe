-- The tier of the provider's service that an attempt was served by, where it is not the usual one: its price may be another.
ALTER TABLE token_ledger ADD COLUMN IF NOT EXISTS `service_tier` LowCardinality(String) AFTER `price`;

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
    a['fusebox.cost.tier'] AS service_tier,
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

DROP VIEW IF EXISTS token_costs;

CREATE VIEW IF NOT EXISTS token_costs AS
SELECT
    ledger.* EXCEPT (cost_usd, price),
    if(newest.price != '', newest.cost_usd, ledger.cost_usd) AS cost_usd,
    if(newest.price != '', newest.price, ledger.price) AS price,
    newest.price != '' AS repriced
FROM token_ledger AS ledger
LEFT JOIN
(
    SELECT
        trace_id,
        span_id,
        argMax(tuple(cost_usd), (time, seq)).1 AS cost_usd,
        argMax(price, (time, seq)) AS price
    FROM ledger_repricings
    GROUP BY trace_id, span_id
) AS newest ON newest.trace_id = ledger.trace_id AND newest.span_id = ledger.span_id;
