"""A tool's call as a person reads it: each argument under the name that the function gives it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from breakers.detectors.words import names_one_thing
from governance.policy.question import CUT

_ADDRESS: Final = re.compile(r" at 0x[0-9a-f]+")
"""Of a default without a text of its own: another one in each process."""
_MAX_TEXT: Final = 2_000
_NAME: Final = re.compile(r"[A-Za-z#][\w#./:-]{0,63}")


def thing_in(args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """The first argument that is the name of one thing, as ``TICK-12`` is; empty when none is."""
    values = (value for value in (*args, *kwargs.values()) if isinstance(value, str))
    return next((value for value in values if _NAME.fullmatch(value) and names_one_thing(value)), "")


def arguments_of(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What ``function(*args, **kwargs)`` is given, by name where it has a signature that fits."""
    try:
        return dict(inspect.signature(function).bind(*args, **kwargs).arguments)
    except (TypeError, ValueError):
        return {"args": list(args), "kwargs": dict(kwargs)}


def judged(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What policy rules on: like :func:`arguments_of`, with what the function takes where it is given nothing, and
    keywords that no parameter has by their own names. Where an argument has no name, that is said (:data:`CUT`)."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):
        return {**kwargs, CUT: True}
    bound.apply_defaults()
    kinds = {name: each.kind for name, each in bound.signature.parameters.items()}
    nameless = any(kind is inspect.Parameter.VAR_POSITIONAL and bound.arguments[name] for name, kind in kinds.items())
    return {**bound.arguments, **kwargs, **({CUT: True} if nameless else {})}


def contract_of(function: Callable[..., Any]) -> str:
    """Which function it is and what it takes: when that changes, the same arguments may mean something else."""
    name = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', type(function).__qualname__)}"
    try:
        takes = str(inspect.signature(function))
    except (TypeError, ValueError):
        takes = ""
    return _ADDRESS.sub("", f"{name}{takes}")[:_MAX_TEXT]
