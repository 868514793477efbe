SELECT id, status FROM orders WHERE id = 3
SELECT `id`, `status` FROM `orders` WHERE `id` = 3
SELECT id FROM orders WHERE status = 'open'
SELECT id FROM orders WHERE status = "open"
SELECT id FROM orders WHERE customer_id = 3 AND total > 10
SELECT id FROM orders WHERE total BETWEEN 10 AND 20
SELECT id FROM orders WHERE status IN ('open', 'late')
SELECT id FROM orders WHERE note IS NULL
SELECT id FROM orders WHERE note LIKE 'late%'
SELECT id FROM orders WHERE note LIKE '%O\'Brien%'
SELECT id FROM orders WHERE note REGEXP '^late'
SELECT id FROM orders WHERE created_at >= '2026-01-01'
SELECT id FROM orders WHERE created_at >= NOW() - INTERVAL 7 DAY
SELECT id FROM orders WHERE created_at >= DATE_SUB(NOW(), INTERVAL 1 MONTH)
SELECT id FROM orders WHERE DATE(created_at) = CURDATE()
SELECT id FROM orders WHERE YEAR(created_at) = 2026 AND MONTH(created_at) = 1
SELECT id FROM orders WHERE DATEDIFF(NOW(), created_at) > 30
SELECT id FROM orders WHERE status = 'open' ORDER BY created_at DESC
SELECT id FROM orders LIMIT 10
SELECT id FROM orders LIMIT 20, 10
SELECT id FROM orders LIMIT 10 OFFSET 20
SELECT id FROM orders ORDER BY total DESC LIMIT 5
SELECT * FROM items WHERE order_id = 3
SELECT * FROM items LIMIT 100
SELECT i.* FROM items i WHERE i.order_id = 3
SELECT * FROM products WHERE price < 20
SELECT * FROM products WHERE active = 1
SELECT * FROM products WHERE active = TRUE AND price > 5
SELECT * FROM products WHERE name = 'x' COLLATE utf8mb4_bin
SELECT * FROM shop.stock WHERE sku = 'A-1'
SELECT s.sku FROM shop.stock s WHERE s.quantity < 5
SELECT id, name FROM customers WHERE country = 'DE'
SELECT c.id, c.name FROM customers c WHERE c.name LIKE 'A%'
SELECT COUNT(*) FROM orders
SELECT COUNT(*) AS n FROM orders WHERE status = 'open'
SELECT COUNT(DISTINCT customer_id) FROM orders
SELECT SUM(total), AVG(total), MIN(total), MAX(total) FROM orders
SELECT status, COUNT(*) FROM orders GROUP BY status
SELECT status, COUNT(*) AS n FROM orders GROUP BY status ORDER BY n DESC
SELECT region, SUM(total) AS revenue FROM orders GROUP BY region HAVING revenue > 1000
SELECT DATE(created_at) AS day, COUNT(*) FROM orders GROUP BY day ORDER BY day
SELECT DATE_FORMAT(created_at, '%Y-%m') AS month, SUM(total) FROM orders GROUP BY month
SELECT YEAR(created_at) AS y, COUNT(*) FROM orders GROUP BY y WITH ROLLUP
SELECT IFNULL(SUM(total), 0) FROM orders WHERE customer_id = 3
SELECT ROUND(AVG(total), 2) FROM orders
SELECT STDDEV(total) FROM orders
SELECT IF(total > 100, 'big', 'small') AS size, COUNT(*) FROM orders GROUP BY size
SELECT CASE status WHEN 'open' THEN 1 ELSE 0 END AS is_open, COUNT(*) FROM orders GROUP BY is_open
SELECT DISTINCT region FROM orders WHERE status = 'open'
SELECT DISTINCT status FROM orders LIMIT 20
SELECT o.id, i.name FROM orders o JOIN items i ON i.order_id = o.id WHERE o.id = 3
SELECT o.id, c.name FROM orders o INNER JOIN customers c ON c.id = o.customer_id WHERE c.country = 'DE'
SELECT o.id, c.name FROM orders o LEFT JOIN customers c ON c.id = o.customer_id WHERE o.status = 'open'
SELECT o.id, c.name FROM orders AS o, customers AS c WHERE c.id = o.customer_id AND o.id = 3
SELECT c.name, COUNT(o.id) FROM customers c LEFT JOIN orders o ON o.customer_id = c.id GROUP BY c.name
SELECT c.country, SUM(o.total) AS t FROM customers c JOIN orders o ON o.customer_id = c.id GROUP BY c.country ORDER BY t DESC
SELECT p.name, SUM(i.quantity) AS sold FROM items i JOIN products p ON p.id = i.product_id GROUP BY p.name ORDER BY sold DESC LIMIT 10
SELECT id FROM orders WHERE customer_id IN (SELECT id FROM customers WHERE country = 'DE')
SELECT id FROM orders o WHERE EXISTS (SELECT 1 FROM items i WHERE i.order_id = o.id AND i.name = 'x')
SELECT id FROM orders WHERE total > (SELECT AVG(total) FROM orders)
SELECT id, (SELECT COUNT(*) FROM items i WHERE i.order_id = o.id) AS n FROM orders o WHERE o.status = 'open'
SELECT x.id FROM (SELECT id, total FROM orders WHERE status = 'open') x WHERE x.total > 5
SELECT region, n FROM (SELECT region, COUNT(*) AS n FROM orders GROUP BY region) t WHERE n > 10
WITH open AS (SELECT id, total FROM orders WHERE status = 'open') SELECT SUM(total) FROM open
WITH big AS (SELECT id FROM orders WHERE total > 500) SELECT * FROM big
SELECT id, ROW_NUMBER() OVER (PARTITION BY region ORDER BY total DESC) AS r FROM orders WHERE status = 'open'
SELECT id, RANK() OVER (ORDER BY total DESC) FROM orders WHERE region = 'EU' LIMIT 20
SELECT id, LAG(total) OVER (ORDER BY created_at) FROM orders WHERE customer_id = 3
SELECT id FROM orders WHERE status = 'open' UNION SELECT id FROM orders WHERE status = 'late'
SELECT name FROM customers WHERE country = 'DE' UNION ALL SELECT name FROM products WHERE price > 5
SELECT id, UPPER(status), CHAR_LENGTH(note) FROM orders WHERE id = 3
SELECT CONCAT(name, ' (', country, ')') FROM customers WHERE id = 3
SELECT CONCAT_WS(', ', name, country) FROM customers WHERE id = 3
SELECT SUBSTRING(note, 1, 20), LEFT(note, 5), RIGHT(note, 5) FROM orders WHERE id = 3
SELECT SUBSTRING_INDEX(note, ',', 1) FROM orders WHERE id = 3
SELECT TRIM(note), LOWER(region), REPLACE(note, 'a', 'b') FROM orders WHERE id = 3
SELECT ABS(total), CEIL(total), FLOOR(total), GREATEST(total, 5), MOD(id, 2) FROM orders WHERE id = 3
SELECT CAST(total AS SIGNED) FROM orders WHERE id = 3
SELECT FORMAT(total, 2) FROM orders WHERE id = 3
SELECT TIMESTAMPDIFF(DAY, created_at, NOW()) FROM orders WHERE id = 3
SELECT STR_TO_DATE('2026-01-01', '%Y-%m-%d')
SELECT FROM_UNIXTIME(1760000000)
SELECT UNIX_TIMESTAMP(created_at) FROM orders WHERE id = 3
SELECT COALESCE(note, '') FROM orders WHERE id = 3
SELECT NULLIF(note, '') FROM orders WHERE id = 3
SELECT JSON_EXTRACT(payload, '$.kind') FROM events WHERE id = 3
SELECT payload->>'$.kind' FROM events WHERE id = 3
SELECT COUNT(*) FROM events WHERE kind = 'click'
SELECT 1
SELECT NOW()
SELECT id FROM orders WHERE id = ?
SELECT id FROM orders WHERE id = 3;
SELECT id FROM orders WHERE status <> 'done' AND region = 'EU'
SELECT id FROM orders WHERE NOT (status = 'done') AND region = 'EU'
INSERT INTO orders (id, status) VALUES (1, 'open')
INSERT INTO orders (id, status) VALUES (1, 'open'), (2, 'late')
INSERT INTO orders (id, status) VALUES (1, 'open') ON DUPLICATE KEY UPDATE status = 'open'
INSERT IGNORE INTO orders (id, status) VALUES (1, 'open')
INSERT INTO items (order_id, name) SELECT id, note FROM orders WHERE id = 3
INSERT INTO events (kind, at) VALUES ('login', NOW())
UPDATE orders SET status = 'paid' WHERE id = 3
UPDATE orders SET status = 'paid', note = 'by card' WHERE id = 3 AND status = 'open'
UPDATE orders SET total = total * 1.1 WHERE region = 'EU' AND status = 'open'
UPDATE orders SET status = 'void' WHERE id IN (1, 2, 3)
UPDATE orders SET status = 'late' WHERE created_at < '2026-01-01' AND status = 'open' LIMIT 100
DELETE FROM orders WHERE id = 3
DELETE FROM items WHERE order_id = 3 AND name = 'x'
DELETE FROM items WHERE order_id IN (SELECT id FROM orders WHERE status = 'void')
INSERT INTO orders (id, status) VALUES (1, 'open') ON DUPLICATE KEY UPDATE status = VALUES(status)
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
SELECT DATE(created_at) AS day, region, status, COUNT(*) FROM orders GROUP BY day, region, status
SELECT * FROM products WHERE flags & 4
SELECT * FROM products WHERE ifnull(price, 0) > 10
WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 10) SELECT i FROM n
UPDATE orders o JOIN customers c ON c.id = o.customer_id SET o.status = 'x' WHERE c.country = 'DE'
SELECT JSON_OBJECT('id', id), JSON_ARRAYAGG(id) FROM orders WHERE customer_id = 3
## a second table beside the first
SELECT o.id, c.name FROM orders o JOIN customers c ON c.id <=> o.customer_id WHERE o.id = 3
SELECT DISTINCT country FROM customers
SELECT * FROM (VALUES ROW(1, 'a'), ROW(2, 'b')) AS v(id, label)
SELECT IF(email IS NULL, 'no', 'yes') AS known, COUNT(*) FROM events GROUP BY known
