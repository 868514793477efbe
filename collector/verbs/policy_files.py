"""``fusebox policy test``, ``init`` and ``sign``: policy folders."""

from __future__ import annotations

import argparse
import json
import shutil
from dataclasses import asdict
from pathlib import Path

from rich.text import Text

from fusebox import terminal
from fusebox.command import Signer, allow_list
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.rundir import write_atomic
from governance.policy.bundle import read_bundle, sign_bundle
from governance.policy.source import SHIPPED, folder_of, is_server
from governance.policy.trials import Trial, run_trials

KEY = "policy.key"
KEYS = "policy_keys.json"
_PUBLIC = 0o644


class Test:
    """Runs a folder's tests."""

    help = "run the tests of a policy folder"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.add_argument("folder", nargs="?", type=Path, help="default: the policy in force, else the shipped one")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Exit status 1 when a test fails."""
        folder = args.folder or _configured(config)
        bundle = read_bundle(folder)
        trials = run_trials(bundle)
        if args.json:
            told = {"folder": str(folder), "revision": bundle.revision, "tests": [asdict(trial) for trial in trials]}
            print(json.dumps(told))
        else:
            _show(folder, trials)
        return 0 if all(trial.passed for trial in trials) else 1


class Init:
    """Copies the shipped policy."""

    help = "write a copy of the shipped policy, to begin with"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.add_argument("folder", type=Path, help="a folder that is not there yet")

    def run(self, args: argparse.Namespace, _config: Config) -> int:
        """
        Raises:
            ConfigError: the folder is there.
        """
        if args.folder.exists():
            raise ConfigError(f"{args.folder} is there already; name a new folder")
        shutil.copytree(folder_of(SHIPPED), args.folder)
        print(
            f"{args.folder}: change it, run 'fusebox policy test {args.folder}', then set FUSEBOX_POLICY={args.folder}"
        )
        return 0


class Sign:
    """Signs a folder."""

    help = "sign a policy folder, so that agents with policy_keys accept it"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.add_argument("folder", type=Path)
        parser.add_argument("--key", type=Path, help=f"private key; made when absent (default: data_dir/{KEY})")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """
        Raises:
            ConfigError: the key cannot be read.
        """
        file = args.key or config.data_dir / KEY
        signer = _signer(file)
        public = file.with_name(KEYS)
        if not public.exists():
            write_atomic(public, allow_list(signer), _PUBLIC)
        revision = sign_bundle(args.folder, signer)
        print(
            f"{args.folder}: revision {revision} is signed by {signer.key_id}; agents need FUSEBOX_POLICY_KEYS={public}"
        )
        return 0


def _signer(file: Path) -> Signer:
    try:
        if not file.exists():
            write_atomic(file, Signer.generate().dump())
        return Signer.load(file.read_text())
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: {error}; name a key that 'fusebox policy sign' made") from error


def _configured(config: Config) -> Path:
    policy = config.policy or SHIPPED
    if is_server(policy):
        raise ConfigError("the policy in force is an OPA server's; name the folder whose tests are to run")
    return folder_of(policy)


def _show(folder: Path, trials: list[Trial]) -> None:
    console = terminal.console()
    for trial in trials:
        mark = Text("✓ ", "green") if trial.passed else Text("✗ ", "bold red")
        console.print(mark.append(trial.name, "default").append(f"  {trial.why}" if trial.why else "", "red"))
    failed = sum(not trial.passed for trial in trials)
    console.print(
        f"{folder}: {len(trials)} tests, {failed} failed" if failed else f"{folder}: {len(trials)} tests pass"
    )


test, init, sign = Test(), Init(), Sign()
