"""TOML files that operators write beside ``fusebox.toml``: read whole, or refused with the place that does not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from fusebox.errors import ConfigError

Section = TypeVar("Section", bound=BaseModel)


def read_toml(path: Path, kind: type[Section], missing: str) -> Section:
    """What ``path`` holds.

    Args:
        missing: what to do where there is no such file, for the error.

    Raises:
        ConfigError: it is missing, cannot be read, or something in it does not fit; the text names it.
    """
    try:
        return kind.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise ConfigError(f"{path} does not exist; {missing}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error)}") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def explain(error: ValidationError) -> str:
    """One line: each place that does not fit, and why."""
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {in_toml(each['msg'])}".removeprefix(": ") for each in found)


def in_toml(message: str) -> str:
    """What is wrong with a value, in the words of the file and not of Python."""
    return (
        message.removeprefix("Value error, ")
        .replace("a valid tuple", "a list")
        .replace("a valid dictionary", "a table")
        .replace("Tuple", "The list")
    )
