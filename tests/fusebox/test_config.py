"""Configuration: a file, then the environment; refused when unknown, masked when secret."""

from pathlib import Path

import pytest

from fusebox.config import Config, is_loopback, load_config
from fusebox.errors import ConfigError


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(text: str, name: str = "fusebox.toml") -> Path:
    path = Path(name).absolute()
    path.write_text(text)
    return path


def test_defaults_need_no_file() -> None:
    config = load_config()
    assert (config.host, config.http_port, config.data_dir) == ("127.0.0.1", 4318, Path(".fusebox"))


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    write('tenant = "file"\nhttp_port = 1\n')
    monkeypatch.setenv("FUSEBOX_TENANT", "env")
    config = load_config()
    assert (config.tenant, config.http_port) == ("env", 1)


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_AMQP_URL", "")
    monkeypatch.setenv("FUSEBOX_HTTP_PORT", "")
    assert load_config().amqp_url is None
    assert load_config().http_port == 4318


def test_a_named_file_is_read_and_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_config(write('tenant = "a"', "a.toml")).tenant == "a"
    monkeypatch.setenv("FUSEBOX_CONFIG", str(write('tenant = "b"', "b.toml")))
    assert load_config().tenant == "b"
    with pytest.raises(ConfigError, match="does not exist"):
        load_config(Path("c.toml"))


@pytest.mark.parametrize("text", ['tenannt = "x"', "[tenant", 'tenant = "a"\ntenant = "b"'])
def test_a_bad_file_is_one_error(text: str) -> None:
    write(text)
    with pytest.raises(ConfigError):
        load_config()


def test_a_misspelt_setting_is_named_with_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_AMPQ_URL", "amqp://x")
    with pytest.raises(ConfigError, match="did you mean amqp_url"):
        load_config()


def test_a_misspelt_setting_is_looked_for_in_the_file_where_it_stands() -> None:
    with pytest.raises(ConfigError, match=r"tennant in .*mine\.toml is not a setting"):
        load_config(write('tennant = "x"', "mine.toml"))


def test_a_file_that_is_no_text_is_one_error() -> None:
    Path("fusebox.toml").write_bytes(b"tenant = '\xff'")
    with pytest.raises(ConfigError, match=r"fusebox\.toml"):
        load_config()


@pytest.mark.parametrize(("name", "value"), [("HTTP_PORT", "99999"), ("SPOOL_MAX_BYTES", "0"), ("GRPC_PORT", "x")])
def test_a_value_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"FUSEBOX_{name}", value)
    with pytest.raises(ConfigError, match=name.lower()):
        load_config()


def test_secrets_are_masked_everywhere_but_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_AMQP_URL", "amqp://u:hunter2@h")
    config = load_config()
    assert "hunter2" not in repr(config) + str(config.model_dump()) + config.model_dump_json()
    assert config.secret("amqp_url") == "amqp://u:hunter2@h"
    assert config.secret("redis_url") is None


def test_a_bad_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    write("operator_token = 12345678")
    with pytest.raises(ConfigError) as caught:
        load_config()
    assert "12345678" not in str(caught.value)


@pytest.mark.parametrize("name", ["otlp_endpoint", "control_url"])
def test_an_address_that_logs_show_holds_no_password(name: str) -> None:
    write(f'{name} = "https://jo:hunter2@collector.example"')
    with pytest.raises(ConfigError, match=name) as caught:
        load_config()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["alert_webhook_url", "audit_anchor_url"])
def test_the_address_of_a_receiver_may_be_its_secret(name: str) -> None:
    write(f'{name} = "https://pager.example/hunter2"')
    config = load_config()
    assert "hunter2" not in repr(config)
    assert config.secret(name) == "https://pager.example/hunter2"


def test_an_open_bind_is_refused_unless_containers_publish_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    write('host = "0.0.0.0"')
    with pytest.raises(ConfigError, match="behind_loopback_publish"):
        load_config()
    monkeypatch.setenv("FUSEBOX_BEHIND_LOOPBACK_PUBLISH", "true")
    assert load_config().host == "0.0.0.0"


def test_the_clock_has_its_own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_CLOCK_SPEED", "60")
    monkeypatch.setenv("FUSEBOX_CLOCK_ORIGIN", "0")
    load_config()


def test_config_compares_by_value_and_cannot_change() -> None:
    assert Config() == Config()
    with pytest.raises(ValueError, match="frozen"):
        Config().tenant = "x"


def test_loopback() -> None:
    assert is_loopback("http://127.0.0.1:1/x")
    assert is_loopback("http://[::1]/")
    assert not is_loopback("http://10.0.0.1")
    assert not is_loopback("localhost")
