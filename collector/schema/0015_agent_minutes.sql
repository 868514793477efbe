-- What each agent did in each minute: sums of agent_events, a few rows where that has thousands. Nothing in a row says
-- which batches are in it, so a batch that is stored again would count again; where keep replays one, it adds what the
-- sums lack, or takes away what they have too much (collector/keep/rollup.py).
CREATE TABLE IF NOT EXISTS agent_minutes
(
    `tenant` LowCardinality(String) CODEC(ZSTD(1)),
    `minute` DateTime CODEC(Delta(4), ZSTD(1)),
    `agent` LowCardinality(String) CODEC(ZSTD(1)),
    `actions` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `model_calls` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `tool_calls` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `errors` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `input_tokens` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `output_tokens` SimpleAggregateFunction(sum, Int64) CODEC(T64, ZSTD(1)),
    `cost_usd` SimpleAggregateFunction(sum, Decimal(38, 12)) CODEC(ZSTD(1)),
    `last` SimpleAggregateFunction(max, DateTime64(6)) CODEC(Delta(8), ZSTD(1)),
    `received` SimpleAggregateFunction(max, DateTime64(6)) CODEC(Delta(8), ZSTD(1))
)
ENGINE = AggregatingMergeTree
ORDER BY (`tenant`, `minute`, `agent`)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, non_replicated_deduplication_window = 1000;

-- The events that are there, counted anew however often a start dies over it.
TRUNCATE TABLE agent_minutes;
INSERT INTO agent_minutes SETTINGS insert_deduplicate = 0
SELECT
    tenant,
    toStartOfMinute(agent_events.time) AS minute,
    agent,
    toInt64(count()) AS actions,
    toInt64(countIf(action = 'model_call')) AS model_calls,
    toInt64(countIf(action = 'tool_call')) AS tool_calls,
    toInt64(countIf(NOT ok)) AS errors,
    toInt64(sum(agent_events.input_tokens)) AS input_tokens,
    toInt64(sum(agent_events.output_tokens)) AS output_tokens,
    sum(agent_events.cost_usd) AS cost_usd,
    max(agent_events.time) AS last,
    max(agent_events.received) AS received
FROM agent_events
GROUP BY tenant, minute, agent;

CREATE MATERIALIZED VIEW IF NOT EXISTS agent_minutes_mv TO agent_minutes AS
SELECT
    tenant,
    toStartOfMinute(agent_events.time) AS minute,
    agent,
    toInt64(count()) AS actions,
    toInt64(countIf(action = 'model_call')) AS model_calls,
    toInt64(countIf(action = 'tool_call')) AS tool_calls,
    toInt64(countIf(NOT ok)) AS errors,
    toInt64(sum(agent_events.input_tokens)) AS input_tokens,
    toInt64(sum(agent_events.output_tokens)) AS output_tokens,
    sum(agent_events.cost_usd) AS cost_usd,
    max(agent_events.time) AS last,
    max(agent_events.received) AS received
FROM agent_events
GROUP BY tenant, minute, agent;
