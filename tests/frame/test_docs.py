"""The documentation tells the truth: links, commands, settings, snippets and generated pages."""

import ast
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from fusebox import cli
from fusebox.clock import ORIGIN_ENV, SPEED_ENV
from fusebox.config import CONFIG_ENV, PREFIX, Config
from tools.gen_docs import declared, generated
from tools.layers import ROOT, modules

PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def name(value: object) -> str:
    return value.relative_to(ROOT).as_posix() if isinstance(value, Path) else str(value)


def blocks(*languages: str) -> list[tuple[Path, str]]:
    return [
        (page, text) for page in PAGES for language, text in FENCE.findall(page.read_text()) if language in languages
    ]


def commands() -> list[str]:
    """Every command line of the console blocks, up to its first pipe, redirection or ``&&``."""
    found = []
    for _, text in blocks("console", "bash", "sh"):
        for line in text.splitlines():
            command = line.removeprefix("$ ").strip()
            if command and not command.startswith("#") and (line.startswith("$ ") or "$ " not in text):
                found.append(re.split(r"\s(?:\||&&|>|;)\s", command)[0])
    return sorted(set(found))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text())):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            file = (page.parent / path) if path else page
            assert file.exists(), target
            assert not anchor or anchor in anchors(file), target


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path == "README.md" or f"({path})" in index, path


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("fusebox")])
def test_every_fusebox_command_in_the_docs_parses(command: str) -> None:
    arguments = shlex.split(command, comments=True)[1:]
    if arguments in (["--version"], ["--help"]):
        return
    parser = cli._parser(arguments)
    assert parser.parse_args(arguments).verb


def test_every_example_in_a_verbs_own_help_parses() -> None:
    described = "\n".join(verb.description for verb in cli._verbs("").values())
    examples = re.findall(r"^\s+(?:[A-Z_]+=\S+ )*(fusebox .*)$", described, re.MULTILINE)
    assert len(examples) > 10
    for example in examples:
        test_every_fusebox_command_in_the_docs_parses(re.split(r"\s{2,}|\s(?:\||&&|>|;)\s", example)[0])


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make")])
def test_every_make_target_in_the_docs_exists(command: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for word in shlex.split(command)[1:] if "=" not in word} <= targets


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("tools/")])
def test_every_tool_in_the_docs_exists(command: str) -> None:
    assert (ROOT / command.split()[0]).stat().st_mode & 0o100


@cache
def verbs() -> tuple[str, ...]:
    done = subprocess.run([sys.executable, "-m", "fusebox", "--help"], capture_output=True, text=True, check=True)
    listed = re.search(r"^commands:\n(.*)", done.stdout, re.MULTILINE | re.DOTALL)
    assert listed
    return tuple(re.findall(r"^    (\w+)", listed[1], re.MULTILINE))


def test_every_verb_explains_itself() -> None:
    assert set(verbs()) >= {"demo", "up", "status", "agents", "kill", "resume", "sql", "why", "doctor", "drive"}
    for verb in verbs():
        with pytest.raises(SystemExit, match="0"):
            cli.main([verb, "--help"])


@pytest.mark.parametrize(
    "command", ["status", "agents", "doctor", "kill a --reason x", "sql 'SELECT 1'", "operators list", "drive nowhere"]
)
def test_without_a_collector_commands_say_so_and_nothing_breaks(command: str, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "fusebox", *shlex.split(command)]
    done = subprocess.run(arguments, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=60)
    assert done.returncode in (0, 1, 2)
    assert done.stdout or done.stderr
    assert "Traceback" not in done.stderr


def test_every_setting_named_in_the_tree_exists() -> None:
    known = {PREFIX + field.upper() for field in Config.model_fields} | {CONFIG_ENV, SPEED_ENV, ORIGIN_ENV}
    for file in [*PAGES, ROOT / "docker-compose.yml", ROOT / "Dockerfile", *modules().values()]:
        named = set(re.findall(r"\bFUSEBOX_[A-Z][A-Z_]*[A-Z]\b", file.read_text()))
        assert named <= known, f"{name(file)}: {named - known}"


def test_every_setting_is_described_and_read() -> None:
    page = (ROOT / "docs" / "guide" / "configuration.md").read_text()
    readers = "\n".join(file.read_text() for module, file in modules().items() if module != "fusebox.config")
    for field, info in Config.model_fields.items():
        assert info.description, field
        assert f"| `{field}` |" in page
        assert re.search(rf"\.{field}\b|\"{field}\"", readers) or field == "behind_loopback_publish", field


@pytest.mark.parametrize(("page", "text"), blocks("python"), ids=name)
def test_every_python_snippet_compiles_and_imports_what_exists(page: Path, text: str) -> None:
    tree = ast.parse(text)
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)):
        exec(compile(ast.Module([node], []), name(page), "exec"), {})


def test_the_first_agent_of_the_readme_can_be_made() -> None:
    ((_, text),) = [block for block in blocks("python") if block[0] == ROOT / "README.md"]
    subprocess.run([sys.executable, "-W", "error", "-c", text.split("if __name__")[0]], check=True, cwd=ROOT)


@pytest.mark.parametrize("page", generated(), ids=name)
def test_generated_pages_are_current(page: Path) -> None:
    assert page.read_text() == generated()[page], "run: make docs"


def duplicates(values: Iterator[str]) -> set[str]:
    seen: set[str] = set()
    return {value for value in values if value in seen or seen.add(value)}  # type: ignore[func-returns-value]


def test_every_happening_is_declared_once() -> None:
    assert duplicates(kind for kind, *_ in declared()) == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_what_was_tested_is_said_of_each_claim() -> None:
    rows = re.findall(
        r"^\| (?!claim|---)(.+) \| (.+) \| (.+) \|$", (ROOT / "docs" / "tested.md").read_text(), re.MULTILINE
    )
    assert len(rows) >= 10
    assert {how for _, how, _ in rows} <= {"run here", "stand-in", "never run"}
    for _, how, where in rows:
        for path in re.findall(r"`(tests/[^`]+)`", where):
            assert (ROOT / path).exists(), path
        assert how != "run here" or "`" in where, where
