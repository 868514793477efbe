SELECT id, status FROM orders WHERE id = 3
SELECT id, status, total FROM orders WHERE customer_id = 17
SELECT id FROM orders WHERE status = 'open'
SELECT id FROM orders WHERE status = 'open' ORDER BY created_at DESC LIMIT 20
SELECT id, total FROM orders WHERE total > 100
SELECT id, total FROM orders WHERE total BETWEEN 100 AND 200
SELECT id FROM orders WHERE status IN ('open', 'late')
SELECT id FROM orders WHERE status NOT IN ('done', 'void')
SELECT id FROM orders WHERE note IS NULL
SELECT id FROM orders WHERE note IS NULL AND status = 'open'
SELECT id FROM orders WHERE note IS NOT NULL AND region = 'EU'
SELECT id FROM orders WHERE note LIKE 'late%'
SELECT id FROM orders WHERE note ILIKE '%broken%'
SELECT id FROM orders WHERE note NOT LIKE 'ok%' AND region = 'EU'
SELECT id FROM orders WHERE created_at >= '2026-01-01'
SELECT id FROM orders WHERE created_at >= now() - interval '7 days'
SELECT id FROM orders WHERE created_at > current_date - 7
SELECT id FROM orders WHERE created_at::date = '2026-01-01'
SELECT id FROM orders WHERE created_at >= date_trunc('month', now())
SELECT id FROM orders WHERE status = 'open' AND region = 'EU'
SELECT id FROM orders WHERE status = 'open' OR status = 'late'
SELECT id FROM orders WHERE (status = 'open' OR region = 'EU') AND total > 50
SELECT id FROM orders WHERE 1 = 1 AND status = 'open'
SELECT id FROM orders WHERE true AND customer_id = 3
SELECT id FROM orders LIMIT 10
SELECT id FROM orders ORDER BY total DESC LIMIT 5
SELECT id FROM orders ORDER BY id LIMIT 100 OFFSET 200
SELECT id FROM orders FETCH FIRST 10 ROWS ONLY
SELECT * FROM items WHERE order_id = 3
SELECT * FROM items WHERE order_id = ANY(ARRAY[1, 2, 3])
SELECT * FROM items WHERE name = 'O''Brien'
SELECT * FROM items LIMIT 50
SELECT i.* FROM items i WHERE i.order_id = 3
SELECT * FROM products WHERE price < 20 AND stock > 5
SELECT * FROM products WHERE active
SELECT * FROM products WHERE NOT active
SELECT * FROM products WHERE active IS TRUE
SELECT * FROM products WHERE active = true AND name = 'x'
SELECT * FROM shop.stock WHERE sku = 'A-1'
SELECT sku, quantity FROM shop.stock WHERE quantity < 5
SELECT s.sku FROM shop.stock AS s WHERE s.warehouse = 'HH'
SELECT id, name FROM customers WHERE country = 'DE'
SELECT c.id, c.name FROM customers c WHERE c.name = 'Ada'
SELECT "id", "name" FROM "customers" WHERE "country" = 'DE'
SELECT count(*) FROM orders
SELECT count(*) FROM customers
SELECT count(*) FROM orders WHERE status = 'open'
SELECT count(DISTINCT customer_id) FROM orders
SELECT sum(total), avg(total), min(total), max(total) FROM orders
SELECT status, count(*) FROM orders GROUP BY status
SELECT status, count(*) AS n FROM orders GROUP BY status ORDER BY n DESC
SELECT region, sum(total) AS revenue FROM orders GROUP BY region HAVING sum(total) > 1000
SELECT date_trunc('day', created_at) AS day, count(*) FROM orders GROUP BY 1 ORDER BY 1
SELECT date_trunc('month', created_at) AS month, sum(total) FROM orders WHERE region = 'EU' GROUP BY month ORDER BY month
SELECT extract(year FROM created_at) AS y, count(*) FROM orders GROUP BY y
SELECT to_char(created_at, 'YYYY-MM') AS month, count(*) FROM orders GROUP BY 1
SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY total) FROM orders
SELECT round(avg(total), 2) FROM orders
SELECT coalesce(sum(total), 0) FROM orders WHERE customer_id = 3
SELECT CASE WHEN total > 100 THEN 'big' ELSE 'small' END AS size, count(*) FROM orders GROUP BY 1
SELECT count(*) FILTER (WHERE status = 'open') FROM orders
SELECT DISTINCT region FROM orders WHERE status = 'open'
SELECT DISTINCT status FROM orders LIMIT 20
SELECT o.id, i.name FROM orders o JOIN items i ON i.order_id = o.id WHERE o.id = 3
SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.country = 'DE'
SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE o.status = 'open'
SELECT o.id, c.name FROM orders AS o, customers AS c WHERE c.id = o.customer_id AND o.id = 3
SELECT o.id FROM orders o JOIN items USING (id) WHERE o.status = 'open'
SELECT c.name, count(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.name
SELECT c.country, sum(o.total) FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.country
SELECT p.name, sum(i.quantity) AS sold FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.name ORDER BY sold DESC LIMIT 10
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'DE')
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.name = 'x')
SELECT id FROM orders o WHERE NOT EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id) AND o.status = 'open'
SELECT id FROM orders WHERE total > (SELECT avg(total) FROM orders)
SELECT id, (SELECT count(*) FROM items i WHERE i.order_id = o.id) AS n FROM orders o WHERE o.status = 'open'
SELECT x.id FROM (SELECT id, total FROM orders WHERE status = 'open') x WHERE x.total > 5
SELECT region, n FROM (SELECT region, count(*) AS n FROM orders GROUP BY region) t WHERE n > 10
WITH open AS (SELECT id, total FROM orders WHERE status = 'open') SELECT sum(total) FROM open
WITH open AS (SELECT id, total FROM orders WHERE status = 'open') SELECT id FROM open WHERE total > 100
WITH a AS (SELECT customer_id, sum(total) AS t FROM orders GROUP BY customer_id) SELECT c.name, a.t FROM a JOIN customers c ON c.id = a.customer_id WHERE a.t > 1000
WITH big AS (SELECT id FROM orders WHERE total > 500) SELECT * FROM big
SELECT id, row_number() OVER (PARTITION BY region ORDER BY total DESC) AS r FROM orders WHERE status = 'open'
SELECT id, rank() OVER (ORDER BY total DESC) FROM orders WHERE region = 'EU' LIMIT 20
SELECT id, total - lag(total) OVER (ORDER BY created_at) AS d FROM orders WHERE customer_id = 3
SELECT id, sum(total) OVER (PARTITION BY customer_id) FROM orders WHERE region = 'EU'
SELECT id FROM orders WHERE status = 'open' UNION SELECT id FROM orders WHERE status = 'late'
SELECT name FROM customers WHERE country = 'DE' UNION ALL SELECT name FROM products WHERE price > 5
SELECT id FROM orders WHERE region = 'EU' EXCEPT SELECT id FROM orders WHERE status = 'void'
SELECT id FROM orders WHERE region = 'EU' INTERSECT SELECT id FROM orders WHERE status = 'open'
SELECT id, upper(status), length(note) FROM orders WHERE id = 3
SELECT concat(name, ' (', country, ')') FROM customers WHERE id = 3
SELECT name || ' ' || country FROM customers WHERE id = 3
SELECT substring(note FROM 1 FOR 20) FROM orders WHERE id = 3
SELECT trim(note), lower(region), replace(note, 'a', 'b') FROM orders WHERE id = 3
SELECT split_part(note, ',', 1) FROM orders WHERE id = 3
SELECT abs(total), ceil(total), floor(total), greatest(total, 5) FROM orders WHERE id = 3
SELECT cast(total AS integer) FROM orders WHERE id = 3
SELECT total::numeric(10, 2) FROM orders WHERE id = 3
SELECT id FROM orders WHERE note ~ '^late'
SELECT id FROM orders WHERE created_at BETWEEN '2026-01-01' AND '2026-02-01' AND region = 'EU'
SELECT age(created_at) FROM orders WHERE id = 3
SELECT payload->>'kind' FROM events WHERE id = 3
SELECT count(*) FROM events WHERE payload->>'kind' = 'click'
SELECT payload #>> '{a,b}' FROM events WHERE id = 3
SELECT 1
SELECT 1 + 1 AS two
SELECT id FROM orders WHERE total = (SELECT max(total) FROM orders)
SELECT name, count(*) AS n FROM customers GROUP BY name ORDER BY n
SELECT upper(country) AS land, count(*) FROM customers GROUP BY land
SELECT now()
SELECT current_date
SELECT id FROM orders WHERE id = $1
SELECT id FROM orders WHERE id = 3;
INSERT INTO orders (id, status) VALUES (1, 'open')
INSERT INTO orders (id, status) VALUES (1, 'open'), (2, 'open')
INSERT INTO orders (id, status) VALUES (1, 'open') RETURNING id
INSERT INTO orders (id, status) VALUES (1, 'open') ON CONFLICT (id) DO NOTHING
INSERT INTO orders (id, status) VALUES (1, 'open') ON CONFLICT (id) DO UPDATE SET status = 'open'
INSERT INTO items (order_id, name) SELECT id, note FROM orders WHERE id = 3
INSERT INTO events (kind, at) VALUES ('login', now())
UPDATE orders SET status = 'paid' WHERE id = 3
UPDATE orders SET status = 'paid', note = 'by card' WHERE id = 3 AND status = 'open'
UPDATE orders SET total = total * 1.1 WHERE region = 'EU' AND status = 'open'
UPDATE orders SET status = 'void' WHERE id IN (1, 2, 3)
UPDATE orders SET note = NULL WHERE id = 3 RETURNING id
UPDATE orders o SET status = 'late' WHERE o.created_at < '2026-01-01' AND o.status = 'open'
DELETE FROM orders WHERE id = 3
DELETE FROM items WHERE order_id = 3 AND name = 'x'
DELETE FROM items WHERE order_id IN (SELECT id FROM orders WHERE status = 'void')
DELETE FROM orders WHERE id = 3 RETURNING id
INSERT INTO orders (id, status) VALUES (1, 'open') ON CONFLICT (id) DO UPDATE SET status = excluded.status
SELECT ID, Status FROM Orders WHERE ID = 3
WITH a AS (SELECT id FROM orders WHERE status = 'open'), b AS (SELECT id FROM a WHERE id = 3) SELECT id FROM b
INSERT INTO events (kind) WITH a AS (SELECT note FROM orders WHERE id = 3) SELECT note FROM a
SELECT id FROM orders WHERE note = $$it's late$$
SELECT o.id, x.n FROM orders o, LATERAL (SELECT count(*) AS n FROM items WHERE items.order_id = o.id) x WHERE o.id = 3
SELECT o.id, x.status FROM orders o JOIN LATERAL (SELECT p.status FROM orders p WHERE p.id = o.id LIMIT 1) x ON true WHERE o.id = 3
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
SELECT date_trunc('day', created_at) AS day, region, status, count(*) FROM orders GROUP BY 1, region, status
SELECT * FROM items WHERE order_id = 3 ORDER BY id FETCH FIRST 5 ROWS WITH TIES
SELECT id FROM orders WHERE total::int > 100
WITH RECURSIVE d AS (SELECT date '2026-01-01' AS day UNION ALL SELECT day + 1 FROM d WHERE day < date '2026-01-31') SELECT d.day, count(o.id) FROM d LEFT JOIN orders o ON o.created_at::date = d.day GROUP BY d.day ORDER BY d.day
UPDATE orders o SET status = 'x' FROM customers c WHERE c.id = o.customer_id AND c.country = 'DE'
DELETE FROM orders USING customers c WHERE c.id = orders.customer_id AND c.country = 'XX'
SELECT jsonb_agg(jsonb_build_object('id', id)) FROM orders WHERE customer_id = 3
SELECT e.value->>'sku' FROM events ev CROSS JOIN LATERAL jsonb_array_elements(ev.data->'items') AS e(value) WHERE ev.id = 3
SELECT c.name, (SELECT array_agg(o.id) FROM orders o WHERE o.customer_id = 3) FROM customers c WHERE c.country = 'DE'
## a second table beside the first
SELECT o.id, c.name FROM orders o, customers c WHERE o.id = 3 AND c.id = o.customer_id
SELECT o.id, c.name FROM orders o, customers c WHERE o.id = 3 AND c.id = 7
SELECT o.id, x.name FROM orders o, LATERAL (SELECT i.name FROM items i WHERE i.order_id = o.id) x WHERE o.id = 3
SELECT o.id, x.a FROM orders o CROSS JOIN (SELECT avg(total) AS a FROM orders) x WHERE o.status = 'open'
SELECT o.id, c.name FROM orders o JOIN customers c ON lower(c.name) = lower(o.note) WHERE o.id = 3
SELECT o.id, i.name FROM orders o JOIN items i ON i.order_id = o.id JOIN products p ON p.id = i.product_id WHERE p.id = 3
SELECT o.id, p.name FROM orders o JOIN (items i JOIN products p ON p.id = i.product_id) ON i.order_id = o.id WHERE o.id = 3
SELECT o.id, c.name FROM orders o JOIN customers c ON c.id = o.customer_id AND c.country = 'DE' WHERE o.status = 'open'
SELECT o.id, c.name FROM orders o, customers c LIMIT 5
## which values there are, of columns that the grant names
SELECT DISTINCT country FROM customers
SELECT DISTINCT region, status FROM orders ORDER BY region
SELECT country FROM customers GROUP BY country
SELECT region FROM orders GROUP BY region HAVING count(*) > 10
SELECT DISTINCT date_trunc('month', created_at) AS month FROM orders ORDER BY month
SELECT DISTINCT c.country FROM orders o JOIN customers c ON c.id = o.customer_id
SELECT region, rank() OVER (ORDER BY sum(total) DESC) FROM orders GROUP BY region
SELECT 'orders' AS what, count(*) FROM orders UNION ALL SELECT 'customers', count(*) FROM customers
## numbers, days and constants in the place of a table
SELECT n FROM generate_series(1, 12) AS n
SELECT d.day, count(o.id) FROM generate_series('2026-01-01'::date, '2026-01-31'::date, interval '1 day') AS d(day) LEFT JOIN orders o ON o.created_at::date = d.day GROUP BY d.day
SELECT day, count(orders.id) FROM generate_series(now() - interval '30 days', now(), '1 day') AS day LEFT JOIN orders ON created_at::date = day::date GROUP BY day
SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS v(id, label)
SELECT o.id, v.label FROM orders o JOIN (VALUES ('open', 'Open')) AS v(code, label) ON v.code = o.status WHERE o.region = 'EU'
SELECT kind FROM events, unnest(tags) AS tag WHERE tag = 'x' AND events.id = 3
## joins by columns that only one of the tables has
SELECT orders.id, name FROM orders JOIN customers ON customer_id = customers.id WHERE country = 'DE'
SELECT name, total FROM orders JOIN customers ON customers.id = customer_id WHERE status = 'open'
SELECT name FROM orders, customers WHERE customer_id = customers.id AND region = 'EU'
## WITHs that read each other
WITH a AS (SELECT id, total FROM orders WHERE status = 'open'), b AS (SELECT id FROM a) SELECT id FROM b
WITH m AS (SELECT date_trunc('month', created_at) AS m, sum(total) AS t FROM orders GROUP BY 1) SELECT m, t, lag(t) OVER (ORDER BY m) FROM m
WITH m AS (SELECT region AS r, sum(total) AS t FROM orders GROUP BY 1), n AS (SELECT avg(t) AS a FROM m) SELECT m.r, m.t - n.a FROM m CROSS JOIN n
## MERGE
MERGE INTO orders o USING (VALUES (1, 'open')) AS s(id, status) ON o.id = s.id WHEN MATCHED THEN UPDATE SET status = s.status WHEN NOT MATCHED THEN INSERT (id, status) VALUES (s.id, s.status)
MERGE INTO orders o USING (SELECT id, country FROM customers WHERE country = 'DE') s ON o.customer_id = s.id WHEN MATCHED THEN UPDATE SET region = s.country
WITH s AS (SELECT id, country FROM customers WHERE country = 'DE') MERGE INTO orders o USING s ON o.customer_id = s.id WHEN MATCHED AND o.status = 'void' THEN DELETE
UPDATE orders o SET status = v.status FROM (VALUES (1, 'x')) v(id, status) WHERE o.id = v.id AND o.id IN (1, 2)
## names from around, and from WITHs
SELECT c.id FROM customers c WHERE c.country = 'DE' AND EXISTS (SELECT * FROM items i WHERE i.customer_id = c.id AND i.kind = 'x')
SELECT c.id, (SELECT max(created_at) FROM orders WHERE customer_id = c.id) AS last FROM customers c WHERE c.country = 'DE' ORDER BY last DESC
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 10) SELECT n FROM r
WITH a(x, y) AS (SELECT region, sum(total) FROM orders GROUP BY region) SELECT x, y FROM a ORDER BY y DESC
WITH a AS (UPDATE orders SET note = 'x' WHERE id = 3 RETURNING id) SELECT id FROM a
WITH a AS (DELETE FROM orders WHERE id = 3 RETURNING id, note) INSERT INTO events (id, note) SELECT id, note FROM a
SELECT status, CASE WHEN total > 3 THEN 'a' ELSE 'b' END AS size, count(*) FROM orders GROUP BY status, size
## looks at each of what is chosen, and sums for each of what is not
SELECT d.day, (SELECT count(*) FROM orders o WHERE o.created_at::date = d.day) FROM generate_series('2026-01-01'::date, '2026-01-31', '1 day') AS d(day)
WITH c AS (SELECT id FROM customers WHERE country = 'DE') SELECT c.id, l.total FROM c CROSS JOIN LATERAL (SELECT total FROM orders o WHERE o.customer_id = c.id ORDER BY total DESC LIMIT 3) l
SELECT n FROM generate_series(1, 100) n WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = n.n)
WITH o AS (SELECT customer_id AS c, total FROM orders) SELECT c, sum(total) FROM o GROUP BY c
SELECT n, count(*) FROM (SELECT customer_id, count(id) AS n FROM orders GROUP BY customer_id) x GROUP BY n
SELECT id FROM orders WHERE customer_id = ANY(SELECT id FROM customers WHERE country = 'DE')
## EXISTS
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.price > o.total AND i.kind = 'x')
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.kind = 'x' AND (i.order_id = o.id OR i.second_id = o.id))
## MERGE from a summary
MERGE INTO customers c USING (SELECT customer_id, count(*) AS n FROM orders WHERE region = 'EU' GROUP BY customer_id) s ON c.id = s.customer_id WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO customers c USING (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id HAVING count(*) > 5) s ON c.id = s.customer_id WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO customers c USING (SELECT customer_id FROM orders GROUP BY customer_id, region LIMIT 100) s ON c.id = s.customer_id WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO events e USING (SELECT region, count(*) AS n FROM orders GROUP BY region) s ON e.region = s.region WHEN NOT MATCHED THEN INSERT (region, n) VALUES (s.region, s.n)
## numbers beside numbers
SELECT d.day, h.n, (SELECT count(*) FROM orders o WHERE o.created_at::date = d.day AND o.total = h.n) FROM generate_series('2026-01-01'::date, '2026-01-31', '1 day') AS d(day), generate_series(0, 23) AS h(n)
SELECT email, count(*) FROM items GROUP BY email HAVING count(*) > 1 LIMIT 50
SELECT card_type, count(*) FROM events GROUP BY card_type
MERGE INTO events e USING (SELECT * FROM (SELECT region, sum(total) AS n FROM orders WHERE status = 'paid' GROUP BY region) x WHERE n > 100) s ON e.region = s.region WHEN MATCHED THEN UPDATE SET n = s.n
## groups by what is only called like an e-mail, or by whether there is one
SELECT country, is_mobile, count(*) FROM events GROUP BY country, is_mobile
SELECT has_email, opted_in_phone, count(*) FROM events GROUP BY has_email, opted_in_phone
SELECT model, max_tokens, count(*) FROM events GROUP BY model, max_tokens
SELECT email IS NULL AS missing, count(*) FROM events GROUP BY missing
SELECT CASE WHEN phone LIKE '+49%' THEN 'DE' WHEN phone LIKE '+33%' THEN 'FR' ELSE 'other' END AS land, count(*) FROM events GROUP BY land
SELECT CASE WHEN total < 10 THEN 1 WHEN total < 20 THEN 2 WHEN total < 30 THEN 3 WHEN total < 40 THEN 4 WHEN total < 50 THEN 5 WHEN total < 60 THEN 6 WHEN total < 70 THEN 7 WHEN total < 80 THEN 8 WHEN total < 90 THEN 9 WHEN total < 100 THEN 10 END AS size, count(*) FROM orders GROUP BY size
