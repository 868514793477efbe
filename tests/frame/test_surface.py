"""The public surface is a list, and the list is true."""

import importlib
import pkgutil

import pytest

from fusebox.shadow import PACKAGES
from tools.layers import ALLOWED

LISTED = {"fusebox": {"__version__"}, "rabbitmq": {"Agent", "Runtime"}}


@pytest.mark.parametrize("package", LISTED)
def test_what_a_package_offers(package: str) -> None:
    module = importlib.import_module(package)
    assert LISTED[package] <= set(module.__all__)
    assert all(hasattr(module, name) for name in module.__all__)


def test_every_package_explains_itself() -> None:
    for name in ALLOWED:
        assert importlib.import_module(name).__doc__, name


def test_every_list_of_packages_is_the_same() -> None:
    assert set(PACKAGES) == set(ALLOWED)


@pytest.mark.parametrize("package", ["fusebox", "breakers", "governance", "rabbitmq", "collector", "gateway"])
def test_every_module_loads_by_itself(package: str) -> None:
    path = importlib.import_module(package).__path__
    for found in pkgutil.walk_packages(path, f"{package}."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
