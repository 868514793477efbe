-- Beside the inventory: a part and a late shipment of it for each time a scene needs one, two suppliers for each, and a
-- table that no agent has any business with.

CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, password_hash TEXT NOT NULL);

INSERT INTO users VALUES
    (1, 'Dana Olsen', 'dana.olsen@wheels.example', '$2b$12$Q0'),
    (2, 'Jo Marchetti', 'jo.marchetti@wheels.example', '$2b$12$Q1');

CREATE TABLE parts AS
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
SELECT i, substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 1 + i / 26, 1) || substr('ABCDEFGHIJKLMNOPQRSTUVWXYZ', 1 + i % 26, 1)
    AS letters FROM n;

INSERT INTO products SELECT 'PRT-' || letters, 'Part ' || letters, 150 + i, 35 FROM parts;
INSERT INTO offers SELECT 1, 'PRT-' || letters, 50, 1800 + i FROM parts;
INSERT INTO offers SELECT 2, 'PRT-' || letters, 25, 2000 + i FROM parts;
INSERT INTO shipments SELECT 'SCN-' || letters, 'PRT-' || letters, 600, '2026-03-06' FROM parts;
