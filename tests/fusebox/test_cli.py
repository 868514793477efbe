"""The shell: verbs come from entry points; errors are one line."""

import argparse
import importlib
import io
import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from fusebox import cli
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.version import __version__


class Echo:
    help = "say something"
    description = "Say it.\n\n    fusebox echo hi"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("word")
        parser.add_argument("--fail", action="store_true")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.fail:
            raise ConfigError("no such word; try another")
        if args.word == "heavy":
            importlib.import_module("no_such_library.server")
        if args.word == "inside-a-file":
            Path("plain").write_text("")
            Path("plain", "policies").mkdir()
        print(args.word, config.tenant)
        return 3


echo = Echo()


@pytest.fixture(autouse=True)
def _verbs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    points = [
        EntryPoint("echo", f"{__name__}:echo", cli.GROUP),
        EntryPoint("heavy", "no_such_library.verbs:verb", cli.GROUP),
        EntryPoint("broken", "collector.no_such_module:verb", cli.GROUP),
    ]
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(cli, "entry_points", lambda group: [p for p in points if p.name != "broken"])
    monkeypatch.chdir(tmp_path)


def test_a_verb_runs_with_the_configuration(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "heavy").write_text('tenant = "acme"')
    assert cli.main(["echo", "hi"]) == 3
    assert cli.main(["--config", "heavy", "echo", "echo"]) == 3
    assert capsys.readouterr().out == "hi default\necho acme\n"


def test_an_error_of_ours_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "hi", "--fail"]) == 2
    assert capsys.readouterr().err == "fusebox: no such word; try another\n"


def test_a_bad_configuration_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "fusebox.toml").write_text("tennant = 1")
    assert cli.main(["echo", "hi"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_help_lists_what_can_run_here(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        cli.main(["--help"])
    out = capsys.readouterr().out
    assert "say something" in out
    assert "heavy" not in out


def test_a_verb_whose_extra_is_missing_names_the_fix(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["heavy"]) == 2
    assert "pip install 'agent-fusebox[all]'" in capsys.readouterr().err


def test_what_is_missing_only_once_a_verb_runs_names_the_fix_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "heavy"]) == 2
    assert capsys.readouterr().err == (
        "fusebox: 'fusebox echo' needs no_such_library, which is not installed; pip install 'agent-fusebox[all]'\n"
    )


def test_a_missing_module_of_our_own_is_a_bug_and_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        cli, "entry_points", lambda group: [EntryPoint("broken", "fusebox.no_such_module:verb", cli.GROUP)]
    )
    with pytest.raises(ModuleNotFoundError):
        cli.main(["broken"])


@pytest.mark.parametrize("arguments", [[], ["shout"], ["echo"], ["--log-level", "loud", "echo", "x"]])
def test_wrong_usage_is_explained(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        cli.main(arguments)
    assert "usage: fusebox" in capsys.readouterr().err


def test_a_path_that_cannot_be_used_is_named_and_no_other_is_blamed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["echo", "inside-a-file"]) == 2
    assert capsys.readouterr().err == "fusebox: plain/policies: Not a directory; run as its owner, or name another\n"


def test_the_version_loads_no_verb() -> None:
    done = subprocess.run([sys.executable, "-m", "fusebox", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fusebox {__version__}\n"


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    script = (
        "import sys; from fusebox import cli\n"
        "class V:\n"
        "  help = description = ''\n"
        "  def configure(self, p): pass\n"
        "  def run(self, a, c):\n"
        "    for _ in range(100000): print('x' * 80)\n"
        "    return 0\n"
        "cli._load = lambda point: V()\n"
        "sys.exit(cli.main(['doctor']))\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def on_an_ascii_terminal(folder: Path, *arguments: str) -> str:
    """What a command shows on a terminal that has no more than ASCII."""
    ours, its = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "fusebox", *arguments], cwd=folder, stdout=its, stderr=its,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    ):  # fmt: skip
        os.close(its)
        with os.fdopen(ours, "rb") as terminal:
            return b"".join(iter(lambda: _read(terminal), b"")).decode("ascii")


def _read(terminal: io.BufferedReader) -> bytes:
    try:
        return terminal.read1()
    except OSError:  # the last process has closed it
        return b""


def test_a_terminal_that_lacks_a_character_shows_its_number(tmp_path: Path) -> None:
    text = on_an_ascii_terminal(tmp_path, "doctor")
    assert "Traceback" not in text
    assert "\\u2713" in text


def test_a_pipe_gets_utf_8_whatever_the_locale_says(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fusebox", "doctor"], cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.stderr == b""
    assert "✓ python: 3." in done.stdout.decode()


def test_a_ctrl_c_while_it_loads_ends_it_quietly(tmp_path: Path) -> None:
    """It comes while a library is being imported."""
    interrupted = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n"
    (tmp_path / "pydantic.py").write_text(interrupted)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "fusebox", "--help"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")
