-- The inventory of a small maker of bicycle parts: what there is, what is on the way, who else could deliver.

CREATE TABLE products (
    sku TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    stock INTEGER NOT NULL CHECK (stock >= 0),          -- pieces
    daily_demand INTEGER NOT NULL CHECK (daily_demand > 0)  -- pieces a day
);

CREATE TABLE suppliers (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    lead_days INTEGER NOT NULL
);

CREATE TABLE offers (
    supplier INTEGER NOT NULL REFERENCES suppliers (id),
    sku TEXT NOT NULL REFERENCES products (sku),
    pack INTEGER NOT NULL,                              -- smallest quantity, pieces
    unit_cents INTEGER NOT NULL,                        -- price of one piece
    PRIMARY KEY (supplier, sku)
);

CREATE TABLE shipments (
    id TEXT PRIMARY KEY,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL,
    eta TEXT NOT NULL                                   -- date it was expected when it was ordered
);

CREATE TABLE purchase_orders (
    shipment TEXT PRIMARY KEY REFERENCES shipments (id),    -- what the order stands in for
    supplier TEXT NOT NULL,
    sku TEXT NOT NULL REFERENCES products (sku),
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    total_cents INTEGER NOT NULL
);

INSERT INTO products VALUES
    ('HUB-32', 'Rear hub, 32 holes', 240, 35),
    ('RIM-28', 'Rim 28 inch, aluminium', 900, 40),
    ('CHN-11', 'Chain, 11-speed', 130, 22),
    ('BRK-DS', 'Disc brake set', 410, 18),
    ('SPK-27', 'Spoke 270 mm, box of 36', 55, 12),
    ('LGT-FR', 'Front light 40 lux', 300, 9);

INSERT INTO suppliers VALUES
    (1, 'Ostsee Metall GmbH', 2),
    (2, 'Tilburg Cycle Parts BV', 3),
    (3, 'Vosges Mécanique SA', 4);

INSERT INTO offers VALUES
    (1, 'HUB-32', 50, 1890), (2, 'HUB-32', 25, 2050),
    (2, 'CHN-11', 40, 1420), (3, 'CHN-11', 100, 1310),
    (1, 'SPK-27', 20, 960), (3, 'BRK-DS', 20, 5490),
    (2, 'RIM-28', 60, 2230), (3, 'LGT-FR', 30, 1750);

INSERT INTO shipments VALUES
    ('NKL-48213', 'HUB-32', 600, '2026-03-06'),
    ('NKL-48377', 'RIM-28', 800, '2026-03-07'),
    ('PAC-90061', 'CHN-11', 500, '2026-03-05'),
    ('PAC-90102', 'BRK-DS', 300, '2026-03-09'),
    ('MER-17755', 'LGT-FR', 200, '2026-03-12');
