"""SQL against grants. The lists of attacks and of ordinary queries are regressions, not detection rates."""

from pathlib import Path

import pytest

from fusebox.errors import ConfigError
from fusebox.registry import SqlGrant, SqlVerb
from gateway.filter import judge
from governance.registry import load_registry

DATA = Path(__file__).parent / "filter_data"
REGISTRY = load_registry(DATA / "agents.toml")
DIALECTS = ("clickhouse", "mysql", "postgres")


def statements(kind: str) -> list[tuple[str, str]]:
    return [
        (dialect, line)
        for dialect in DIALECTS
        for line in (DATA / kind / f"{dialect}.sql").read_text().splitlines()
        if line.strip() and not line.startswith("## ")
    ]


ATTACKS, ORDINARY = statements("attacks"), statements("ordinary")


def rules(sql: str, grant: SqlGrant) -> set[str]:
    return {threat.rule for threat in judge(sql, grant)}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_no_attack_of_the_list_gets_by(dialect: str) -> None:
    (grant,) = REGISTRY.sql_grants("clerk", dialect)
    assert [sql for of, sql in ATTACKS if of == dialect and not judge(sql, grant)] == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_ordinary_query_of_the_list_may_run(dialect: str) -> None:
    (grant,) = REGISTRY.sql_grants("clerk", dialect)
    assert [(sql, judge(sql, grant)) for of, sql in ORDINARY if of == dialect and judge(sql, grant)] == []


def test_the_lists_are_as_long_as_they_say() -> None:
    assert len(set(ATTACKS)) == len(ATTACKS) >= 300
    assert len(set(ORDINARY)) == len(ORDINARY) >= 300


READ = SqlGrant(dialect="postgres", tables={"orders": ("id", "status"), "items": ("*",)})


@pytest.mark.parametrize(
    ("sql", "rule"),
    [
        ("SELECT id FROM users WHERE id = 3", "sql.table"),
        ("SELECT email FROM orders WHERE id = 3", "sql.column"),
        ("SELECT * FROM orders WHERE id = 3", "sql.column"),
        ("DELETE FROM items WHERE id = 3", "sql.verb"),
        ("DROP TABLE items", "sql.verb"),
        ("DELETE FROM items", "sql.where"),
        ("SELECT * FROM items", "sql.dump"),
        ("SELECT id FROM items WHERE id = 3 OR 1 = 1", "sql.always"),
        ("SELECT id FROM items WHERE id = 3 UNION SELECT 1", "sql.union"),
        ("SELECT id FROM items WHERE id = 3; SELECT 1", "sql.stacked"),
        ("SELECT id FROM items WHERE id = 3 -- x", "sql.comment"),
        ("SELECT pg_sleep(5)", "sql.sleep"),
        ("SELECT lo_import('/etc/passwd')", "sql.function"),
        ("SELECT chr(65)", "sql.encoded"),
        ("SELECT id FROM items WHERE name = 'x", "sql.quote"),
        ("SELECT id FROM items WHERE\x00 id = 3", "sql.characters"),
        ("SELECT FROM WHERE", "sql.unreadable"),
        ("SELECT 1" + " " * 20_000, "sql.size"),
        ("SELECT " + "(" * 5000 + "1" + ")" * 5000, "sql.unreadable"),
        ("SELECT " + ", ".join(["(SELECT count(*) FROM items)"] * 100), "sql.unreadable"),
    ],
)
def test_each_rule_by_itself(sql: str, rule: str) -> None:
    assert rule in rules(sql, READ)


def exists(depth: int, of: int = 0) -> str:
    """An EXISTS in an EXISTS …, the innermost of which looks at the first table."""
    if of == depth:
        return f"a0.id = a{of}.id AND a{of}.id = 3"
    return f"EXISTS (SELECT 1 FROM items a{of + 1} WHERE {exists(depth, of + 1)})"


def joined(depth: int) -> str:
    """A join with a join with a join …, which nothing ties."""
    inner = joined(depth - 1) if depth else "SELECT id FROM items"
    return f"SELECT a.id FROM ({inner}) AS a, items AS b WHERE a.id + b.id = 3"


def test_queries_in_queries_are_looked_at_once_each() -> None:
    assert rules(f"SELECT a0.id FROM items a0 WHERE {exists(30)}", READ) == set()
    assert rules(joined(30), READ) == {"sql.dump"}
    many = ", ".join(f"a{n}" for n in range(2_000))
    assert rules(f"SELECT count(*) FROM items GROUP BY {many}", READ) == {"sql.dump"}


def test_a_grant_says_how_many_rows_may_be_read() -> None:
    few = READ.model_copy(update={"max_rows": 10})
    assert rules("SELECT * FROM items LIMIT 11", few) == {"sql.dump"}
    assert rules("SELECT * FROM items LIMIT 10", few) == set()
    assert rules("SELECT * FROM items", READ.model_copy(update={"max_rows": 0})) == set()


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("postgres", "WITH users AS (SELECT 1 AS id) DELETE FROM users WHERE id = 2"),
        ("postgres", "WITH users AS (SELECT 1 AS id) INSERT INTO users (id) VALUES (1)"),
        ("clickhouse", "WITH 1 AS users SELECT id FROM users WHERE id = 3"),
    ],
)
def test_a_with_that_is_called_like_a_table_opens_no_table(dialect: str, sql: str) -> None:
    grant = SqlGrant.model_validate({"dialect": dialect, "verbs": list(SqlVerb), "tables": {"items": ("*",)}})
    assert rules(sql, grant) == {"sql.table"}


def test_a_comment_on_its_own_lines_may_stay() -> None:
    assert judge("-- open orders\nSELECT id FROM orders\n/* by\n status */\nWHERE status = 'open'", READ) == []


def test_what_is_found_is_told_without_values() -> None:
    told = " ".join(t.what for t in judge("SELECT id FROM users WHERE name = 'Ada Secret' OR note = 'hush'", READ))
    assert "users" in told
    assert "Ada" not in told
    assert "hush" not in told


def test_grants_are_read_from_the_registry(tmp_path: Path) -> None:
    file = tmp_path / "agents.toml"
    entry = '[agents.a]\nowner = "jo"\n[[agents.a.sql]]\ntool = "ware*"\ndialect = "mysql"\ntables = { t = ["*"] }\n'
    file.write_text(entry)
    registry = load_registry(file)
    assert [grant.dialect for grant in registry.sql_grants("a", "warehouse")] == ["mysql"]
    assert registry.sql_grants("a", "other") == registry.sql_grants("stranger", "warehouse") == ()
    for bad, said in (("verbs = ['drop']", "verbs"), ("dialekt = 'x'", "dialect"), ("max_rows = -1", "max_rows")):
        file.write_text(entry + bad)
        with pytest.raises(ConfigError, match=said):
            load_registry(file)
