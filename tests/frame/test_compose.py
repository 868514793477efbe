"""docker-compose.yml and what it mounts: valid, closed to the network, without a default password."""

import os
import re
import stat
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from ruamel.yaml import YAML

from fusebox.config import PREFIX, Config, load_config
from fusebox.registry import Registry
from tools.layers import ROOT

FILE = ROOT / "docker-compose.yml"
TEXT = FILE.read_text()
COMPOSE: dict[str, Any] = YAML(typ="safe", pure=True).load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}


def volumes(service: dict[str, Any]) -> list[tuple[str, str]]:
    """Source, and the one file of it that is mounted (or nothing for all of it)."""
    told = service.get("volumes", [])
    return [
        (v.split(":")[0], "") if isinstance(v, str) else (v["source"], v.get("volume", {}).get("subpath", ""))
        for v in told
    ]


SECRETS = {"RABBITMQ_PASSWORD", "CLICKHOUSE_PASSWORD", "REDIS_PASSWORD"}


def test_it_follows_the_compose_specification() -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_everything_the_product_needs_is_there() -> None:
    assert SERVICES.keys() >= {
        "rabbitmq",
        "clickhouse",
        "redis",
        "opa",
        "receive",
        "keep",
        "watch",
        "gateway",
        "dashboards",
    }


def test_services_refer_to_what_is_declared() -> None:
    for name, service in SERVICES.items():
        assert set(service.get("depends_on", {})) <= set(SERVICES), name
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"]), name
        assert set(service.get("secrets", [])) <= set(COMPOSE.get("secrets", {})), name
        for source, _ in volumes(service):
            assert (ROOT / source).is_file() if source.startswith(".") else source in COMPOSE["volumes"], source


def test_every_declared_volume_and_network_is_used() -> None:
    used = {source for service in SERVICES.values() for source, _ in volumes(service)}
    assert set(COMPOSE["volumes"]) <= used
    assert set(COMPOSE["networks"]) <= {network for service in SERVICES.values() for network in service["networks"]}


def test_every_published_port_is_on_loopback() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not re.fullmatch(r"127\.0\.0\.1:\d+:\d+", str(port))] == []
    assert len({port.split(":")[1] for port in ports}) == len(ports)


def test_every_service_says_how_it_is() -> None:
    for name, service in SERVICES.items():
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_no_log_of_a_container_grows_without_end() -> None:
    for name, service in SERVICES.items():
        assert service["logging"]["options"].keys() >= {"max-size", "max-file"}, name
        assert service["restart"] == "unless-stopped", name


def test_whoever_is_waited_for_can_become_healthy() -> None:
    conditions = [need["condition"] for s in SERVICES.values() for need in s.get("depends_on", {}).values()]
    assert set(conditions) == {"service_healthy"}


def test_secrets_have_no_default() -> None:
    variables = re.findall(r"\$\{(\w+)([^}]*)\}", TEXT)
    for name, rest in variables:
        assert rest.startswith(":?") if name in SECRETS else rest == ":-", name
    assert {name for name, _ in variables} >= SECRETS
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if re.search("PASS|SECRET|TOKEN|AUTH", key):
                assert "${" in value, f"{name}: {key}"


def test_make_env_makes_every_secret_once(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    command = [sys.executable, str(ROOT / "tools" / "make_env"), str(path)]
    subprocess.run(command, check=True, capture_output=True)
    values = dict(line.split("=", 1) for line in path.read_text().splitlines())
    assert values.keys() == SECRETS
    assert len(set(values.values())) == len(SECRETS)
    assert all(re.fullmatch(r"[\w-]{32}", value) for value in values.values())  # safe in a URL as they are
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1
    assert path.read_text() == before


@pytest.mark.parametrize("name", OURS)
def test_our_roles_exist_and_get_a_configuration_that_loads(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    service = OURS[name]
    verb, role = service["command"]
    assert verb == "service"
    assert role in {point.name for point in entry_points(group="fusebox.services")}
    monkeypatch.chdir(tmp_path)
    for variable in [v for v in os.environ if v.startswith(PREFIX)]:
        monkeypatch.delenv(variable)
    for key, value in service["environment"].items():
        monkeypatch.setenv(key, re.sub(r"\$\{\w+:\?[^}]*\}", "s3cret", value).replace("${", "").replace(":-}", ""))
    monkeypatch.delenv("FUSEBOX_ALERT_WEBHOOK_URL", raising=False)
    assert load_config().host == "0.0.0.0"


def test_ports_are_those_of_the_configuration() -> None:
    fields = Config.model_fields
    for name, ports in {
        "receive": ("http_port", "grpc_port"), "keep": ("sql_port",), "watch": ("control_port",),
        "dashboards": ("dashboard_port", "dashboard_metrics_port"), "gateway": ("gateway_port",),
    }.items():  # fmt: skip
        inside = {int(port.split(":")[2]) for port in SERVICES[name]["ports"]}
        assert inside == {fields[port].default for port in ports}, name


def test_only_the_roles_that_own_the_data_see_it() -> None:
    seen = {name: [part for source, part in volumes(s) if source == "data"] for name, s in SERVICES.items()}
    assert {name for name, parts in seen.items() if "" in parts} == {"receive", "keep", "watch"}
    assert {name: parts for name, parts in seen.items() if parts and "" not in parts} == {
        "gateway": ["command_keys.json", "agent.token"], "dashboards": ["dashboard.token"]
    }  # fmt: skip


def test_who_asks_another_role_is_told_where_it_is() -> None:
    """In a container of its own nobody finds the others by what they write into the data folder."""
    asked = {
        "watch": {"otlp_endpoint": "receive", "sql_url": "keep"},  # the canary's way
        "gateway": {"otlp_endpoint": "receive", "control_url": "watch"},
        "dashboards": {"control_url": "watch", "sql_url": "keep"},
    }
    for name, others in asked.items():
        for setting, other in others.items():
            url = urlsplit(SERVICES[name]["environment"].get(f"{PREFIX}{setting.upper()}", ""))
            assert url.hostname == other, f"{name}: {setting}"
            assert str(url.port) in {port.split(":")[2] for port in SERVICES[other]["ports"]}, f"{name}: {setting}"


def test_what_people_keep_survives_a_new_container() -> None:
    for name, service in OURS.items():
        assert any(each.endswith(":/data") for each in service["volumes"] if isinstance(each, str)), name


def test_redis_is_started_as_its_image_gives_up_root() -> None:
    assert SERVICES["redis"]["command"][0] == "redis-server"


@pytest.mark.parametrize("name", ["watch", "gateway"])
def test_who_asks_a_policy_can_be_told_which(name: str) -> None:
    assert SERVICES[name]["environment"]["FUSEBOX_POLICY"] == "${FUSEBOX_POLICY:-}"


def test_our_containers_run_without_privileges() -> None:
    for name, service in OURS.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name


def test_the_image_holds_all_that_the_wheel_is_made_of_and_no_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert re.findall(r"^COPY (\w+) \./\1$", text, re.MULTILINE) == packages
    assert re.search(r"^USER fusebox$", text, re.MULTILINE)
    assert "--require-hashes" in text
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for line in re.findall(r"^COPY (?!--)(.+) \./\w*$", text, re.MULTILINE) for source in line.split()}
    assert kept == copied


def test_mounted_files_can_be_read() -> None:
    Registry.model_validate(tomllib.loads((ROOT / "docker" / "agents.toml").read_text()))
    root = ET.parse(ROOT / "docker" / "clickhouse.xml").getroot()
    logs = [child for child in root if child.tag.endswith("_log")]
    assert logs
    for log in logs:
        assert log.get("remove") == "1" or log.find("ttl") is not None, log.tag
