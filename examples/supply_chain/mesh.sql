-- Beside the inventory: shipments of the scenes, and a table that no agent has any business with.

CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, password_hash TEXT NOT NULL);

INSERT INTO users VALUES
    (1, 'Dana Olsen', 'dana.olsen@wheels.example', '$2b$12$Q0'),
    (2, 'Jo Marchetti', 'jo.marchetti@wheels.example', '$2b$12$Q1');

WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199)
INSERT INTO shipments
SELECT printf('SCN-%04d', i), 'HUB-32', 600, '2026-03-06' FROM n;
