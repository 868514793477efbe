SELECT id, status FROM orders WHERE id = 3
SELECT id FROM orders WHERE status = 'open'
SELECT id FROM orders WHERE customer_id = 3 AND total > 10
SELECT id FROM orders WHERE status IN ('open', 'late')
SELECT id FROM orders WHERE status NOT IN ('done', 'void')
SELECT id FROM orders WHERE note LIKE 'late%'
SELECT id FROM orders WHERE note ILIKE '%broken%'
SELECT id FROM orders WHERE match(note, '^late')
SELECT id FROM orders WHERE position(note, 'late') > 1
SELECT id FROM orders WHERE created_at >= '2026-01-01 00:00:00'
SELECT id FROM orders WHERE created_at >= now() - INTERVAL 7 DAY
SELECT id FROM orders WHERE created_at > subtractDays(now(), 7)
SELECT id FROM orders WHERE toDate(created_at) = today()
SELECT id FROM orders WHERE toDate(created_at) = yesterday()
SELECT id FROM orders WHERE toYYYYMM(created_at) = 202601
SELECT id FROM orders WHERE created_at BETWEEN '2026-01-01' AND '2026-02-01'
SELECT id FROM orders PREWHERE region = 'EU' WHERE status = 'open'
SELECT id FROM orders FINAL WHERE id = 3
SELECT id FROM orders LIMIT 10
SELECT id FROM orders ORDER BY total DESC LIMIT 5
SELECT id FROM orders ORDER BY created_at DESC LIMIT 100 OFFSET 50
SELECT id FROM orders WHERE region = 'EU' LIMIT 3 BY customer_id
SELECT id FROM orders SAMPLE 0.1 WHERE status = 'open'
SELECT * FROM items WHERE order_id = 3
SELECT * FROM items LIMIT 100
SELECT i.* FROM items AS i WHERE i.order_id = 3
SELECT * FROM products WHERE price < 20 AND stock > 5
SELECT * FROM products WHERE active = 1
SELECT * FROM shop.stock WHERE sku = 'A-1'
SELECT s.sku FROM shop.stock AS s WHERE s.quantity < 5
SELECT id, name FROM customers WHERE country = 'DE'
SELECT count() FROM orders
SELECT count(*) FROM orders
SELECT count() AS n FROM orders WHERE status = 'open'
SELECT countIf(status = 'open') FROM orders
SELECT count(DISTINCT customer_id) FROM orders
SELECT uniq(customer_id) FROM orders
SELECT uniqExact(customer_id) FROM orders WHERE region = 'EU'
SELECT sum(total), avg(total), min(total), max(total) FROM orders
SELECT sumIf(total, status = 'open') FROM orders
SELECT quantile(0.95)(total) FROM orders
SELECT quantiles(0.5, 0.9, 0.99)(total) FROM orders
SELECT quantileExact(0.5)(total) FROM orders
SELECT median(total) FROM orders
SELECT argMax(status, created_at) FROM orders WHERE customer_id = 3
SELECT argMin(id, total) FROM orders
SELECT any(status) FROM orders WHERE customer_id = 3
SELECT topK(10)(region) FROM orders WHERE status = 'open'
SELECT status, count() FROM orders GROUP BY status
SELECT status, count() AS n FROM orders GROUP BY status ORDER BY n DESC
SELECT region, sum(total) AS revenue FROM orders GROUP BY region HAVING revenue > 1000
SELECT toDate(created_at) AS day, count() FROM orders GROUP BY day ORDER BY day
SELECT toStartOfHour(created_at) AS h, count() FROM orders GROUP BY h ORDER BY h
SELECT toStartOfMonth(created_at) AS m, sum(total) FROM orders GROUP BY m
SELECT toStartOfInterval(created_at, INTERVAL 5 MINUTE) AS t, count() FROM orders GROUP BY t
SELECT toMonday(created_at) AS week, uniq(customer_id) FROM orders GROUP BY week
SELECT formatDateTime(created_at, '%Y-%m') AS month, sum(total) FROM orders GROUP BY month
SELECT region, status, count() FROM orders GROUP BY region, status WITH ROLLUP
SELECT region, count() FROM orders GROUP BY region WITH TOTALS
SELECT toDate(created_at) AS d, count() FROM orders WHERE region = 'EU' GROUP BY d ORDER BY d WITH FILL
SELECT if(total > 100, 'big', 'small') AS size, count() FROM orders GROUP BY size
SELECT multiIf(total > 100, 'big', total > 10, 'middle', 'small') AS size, count() FROM orders GROUP BY size
SELECT CASE WHEN total > 100 THEN 'big' ELSE 'small' END AS size, count() FROM orders GROUP BY size
SELECT DISTINCT region FROM orders WHERE status = 'open'
SELECT DISTINCT status FROM orders LIMIT 20
SELECT o.id, i.name FROM orders AS o INNER JOIN items AS i ON i.order_id = o.id WHERE o.id = 3
SELECT o.id, c.name FROM orders AS o LEFT JOIN customers AS c ON c.id = o.customer_id WHERE o.status = 'open'
SELECT o.id, c.name FROM orders AS o ANY LEFT JOIN customers AS c ON c.id = o.customer_id WHERE o.status = 'open'
SELECT o.id FROM orders AS o GLOBAL INNER JOIN items AS i ON i.order_id = o.id WHERE o.region = 'EU'
SELECT c.name, count(o.id) FROM customers AS c LEFT JOIN orders AS o ON o.customer_id = c.id GROUP BY c.name
SELECT c.country, sum(o.total) AS t FROM customers AS c JOIN orders AS o ON o.customer_id = c.id GROUP BY c.country ORDER BY t DESC
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'DE')
SELECT id FROM orders WHERE total > (SELECT avg(total) FROM orders)
SELECT x.id FROM (SELECT id, total FROM orders WHERE status = 'open') AS x WHERE x.total > 5
SELECT region, n FROM (SELECT region, count() AS n FROM orders GROUP BY region) WHERE n > 10
WITH big AS (SELECT id FROM orders WHERE total > 500) SELECT * FROM big
WITH open AS (SELECT id, total FROM orders WHERE status = 'open') SELECT sum(total) FROM open
WITH (SELECT avg(total) FROM orders) AS a SELECT id FROM orders WHERE total > a AND region = 'EU'
SELECT id, row_number() OVER (PARTITION BY region ORDER BY total DESC) AS r FROM orders WHERE status = 'open'
SELECT id, rank() OVER (ORDER BY total DESC) FROM orders WHERE region = 'EU' LIMIT 20
SELECT id, sum(total) OVER (PARTITION BY customer_id ORDER BY created_at) FROM orders WHERE region = 'EU'
SELECT id FROM orders WHERE status = 'open' UNION ALL SELECT id FROM orders WHERE status = 'late'
SELECT name FROM customers WHERE country = 'DE' UNION DISTINCT SELECT name FROM products WHERE price > 5
SELECT id, upper(status), length(note) FROM orders WHERE id = 3
SELECT concat(name, ' (', country, ')') FROM customers WHERE id = 3
SELECT substring(note, 1, 20), lower(region), replaceAll(note, 'a', 'b') FROM orders WHERE id = 3
SELECT splitByChar(',', note) FROM orders WHERE id = 3
SELECT arrayJoin([1, 2, 3]) AS n
SELECT abs(total), ceil(total), floor(total), round(total, 2) FROM orders WHERE id = 3
SELECT toInt32(total), toString(id), toFloat64(total) FROM orders WHERE id = 3
SELECT CAST(total AS Int32) FROM orders WHERE id = 3
SELECT dateDiff('day', created_at, now()) FROM orders WHERE id = 3
SELECT parseDateTimeBestEffort('2026-01-01')
SELECT coalesce(note, ''), ifNull(note, '') FROM orders WHERE id = 3
SELECT JSONExtractString(payload, 'kind') FROM events WHERE id = 3
SELECT JSONExtractInt(payload, 'n') AS n, count() FROM events GROUP BY n
SELECT count() FROM events WHERE kind = 'click' AND at > now() - 3600
SELECT arrayMap(x -> x + 1, [1, 2, 3])
SELECT has(tags, 'x') FROM items WHERE order_id = 3
SELECT tags[1] FROM items WHERE order_id = 3
SELECT attributes['kind'] FROM events WHERE id = 3
SELECT cityHash64(note) FROM orders WHERE id = 3
SELECT 1
SELECT now()
SELECT id FROM orders WHERE id = 3 FORMAT JSON
SELECT status, count() FROM orders GROUP BY status FORMAT CSVWithNames
SELECT id FROM orders WHERE note = {note:String}
SELECT id FROM orders WHERE id = 3;
INSERT INTO orders (id, status) VALUES (1, 'open')
INSERT INTO orders (id, status) VALUES (1, 'open'), (2, 'late')
INSERT INTO items (order_id, name) SELECT id, note FROM orders WHERE id = 3
INSERT INTO events (kind, at) VALUES ('login', now())
DELETE FROM orders WHERE id = 3
DELETE FROM items WHERE order_id = 3 AND name = 'x'
WITH toDate(created_at) AS day SELECT day, count() FROM orders WHERE id > 100 GROUP BY day
SELECT id, row_number() OVER (PARTITION BY status ORDER BY id) AS n FROM orders WHERE region = 'eu' QUALIFY n = 1
SELECT id, name, count(*) FROM customers GROUP BY id, name LIMIT 100
SELECT customer_id, sum(total) FROM orders GROUP BY customer_id
SELECT region, status, customer_id, count(*) FROM orders GROUP BY region, status, customer_id
SELECT id, count(*) FROM orders WHERE status = 'open' GROUP BY id
SELECT order_id, count(*) FROM items GROUP BY order_id
SELECT * FROM products WHERE price * 2 > 10 AND id = 5
SELECT * FROM products WHERE price * 2 > 10
SELECT * FROM products WHERE price - 5 >= 20
SELECT id FROM orders WHERE id % 2 = 0 AND region = 'EU'
SELECT * FROM items WHERE id % 10 = 3
SELECT * FROM products WHERE coalesce(price, 0) > 10
DELETE FROM items WHERE id * 2 = 10
SELECT name, max(price) FROM products GROUP BY name
SELECT substring(note, 1, 2), count(id) FROM orders GROUP BY substring(note, 1, 2)
SELECT toDate(created_at) AS day, region, status, count() FROM orders GROUP BY ALL
SELECT * FROM items WHERE order_id = 3 ORDER BY id LIMIT 5 WITH TIES
SELECT region, any(status) FROM orders GROUP BY region
SELECT * FROM products WHERE modulo(id, 10) = 3
SELECT groupArray(10)(id) FROM orders WHERE customer_id = 3
SELECT windowFunnel(3600)(created_at, status = 'new', status = 'paid') FROM orders WHERE customer_id = 3
SELECT arrayStringConcat(arraySort(groupUniqArray(region)), ',') FROM orders WHERE status = 'open'
SELECT arrayFold((acc, x) -> acc + x, [1, 2, 3], toInt64(0)), arrayZip([1, 2], [3, 4]), range(10)
SELECT arrayFirst(x -> x > 1, [1, 2]), arrayCumSum([1, 2]), arraySlice([1, 2, 3], 1, 2), arrayAvg([1])
SELECT toTimeZone(created_at, 'UTC'), toWeek(created_at), toInt32OrZero(note), extractAll(note, 'x') FROM orders WHERE id = 3
SELECT avgOrNull(total), uniqCombined64(customer_id), formatReadableSize(sum(total)) FROM orders
## a second table beside the first
SELECT o.id, c.name FROM orders AS o LEFT JOIN customers AS c ON c.id = o.customer_id PREWHERE o.id = 3
SELECT DISTINCT country FROM customers
SELECT number FROM numbers(10)
SELECT toDate('2026-01-01') + number AS day, count() FROM numbers(31) LEFT JOIN orders ON toDate(orders.created_at) = day GROUP BY day
SELECT n.number, count(o.id) FROM numbers(24) AS n LEFT JOIN orders o ON toHour(o.created_at) = n.number GROUP BY n.number
SELECT id, toDate(created_at) AS day FROM orders WHERE day >= '2026-01-01'
SELECT kind, tag FROM events ARRAY JOIN tags AS tag WHERE tag = 'x' AND events.id = 3
SELECT email != '' AS known, count() FROM events GROUP BY known
