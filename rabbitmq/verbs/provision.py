"""``fusebox rabbitmq``: a user of its own, with no more than it needs, for each agent."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from fusebox.config import Config
from fusebox.errors import ConfigError
from governance.registry import load_registry
from rabbitmq.amqp import AmqpBroker
from rabbitmq.management import Management
from rabbitmq.provision import Grant, Role, grant_of, password_file, topology_of


class ProvisionVerb:
    """Writes users, permissions and queues, or says how."""

    help = "users, permissions and queues of agents on RabbitMQ"
    description = """An AMQP user for each agent, which may do what that agent does and nothing else.

  fusebox rabbitmq provision --management-url https://admin:…@rabbit.example:15671
  fusebox rabbitmq provision --agent ticket-helper --handles ticket.commented --publishes ticket.suggested --print
  fusebox rabbitmq declare                     queues and bindings only, over FUSEBOX_AMQP_URL

Without --agent every agent of the registry is meant, with the keys it 'handles' and 'publishes' there. Passwords are
made once, written to data_dir/rabbitmq/agent-ID.password (0600) and printed nowhere."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        provision = actions.add_parser("provision", help="users, permissions, queues, bindings")
        _add_roles(provision)
        provision.add_argument("--vhost", default="/", help="the virtual host (default: /)")
        provision.add_argument("--management-url", metavar="URL", help="instead of FUSEBOX_MANAGEMENT_URL")
        provision.add_argument("--print", action="store_true", help="print rabbitmqctl commands, change nothing there")
        _add_roles(actions.add_parser("declare", help="queues and bindings, as the user of FUSEBOX_AMQP_URL"))

    def run(self, args: argparse.Namespace, config: Config) -> int:
        roles = _roles(args, config)
        if args.action == "declare":
            _declare(roles, config)
        elif args.print:
            _print(roles, args.vhost, config)
        else:
            _apply(roles, args, config)
        return 0


verb = ProvisionVerb()


def _add_roles(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--agent", metavar="ID", help="this agent only")
    parser.add_argument("--handles", metavar="KEYS", type=_keys, default=(), help="routing keys it takes, with commas")
    parser.add_argument("--publishes", metavar="KEYS", type=_keys, default=(), help="routing keys it may publish")


def _keys(text: str) -> tuple[str, ...]:
    return tuple(key.strip() for key in text.split(",") if key.strip())


def _roles(args: argparse.Namespace, config: Config) -> list[Role]:
    if args.agent:
        return [Role(args.agent, args.handles, args.publishes)]
    if args.handles or args.publishes:
        raise ConfigError("--handles and --publishes need --agent")
    agents = load_registry(config.agents_file).agents
    if not agents:
        raise ConfigError(f"nobody is registered in {config.agents_file}; add agents there, or name one with --agent")
    return [Role(name, entry.handles, entry.publishes) for name, entry in agents.items()]


def _declare(roles: list[Role], config: Config) -> None:
    url = config.secret("amqp_url")
    if not url:
        raise ConfigError("set FUSEBOX_AMQP_URL to the address of a user who may configure")
    broker = AmqpBroker(url, client_name="fusebox-cli")
    try:
        broker.start()
        for role in roles:
            broker.declare(topology_of(role))
            print(f"{role.agent}: declared")
    finally:
        broker.stop()


def _apply(roles: list[Role], args: argparse.Namespace, config: Config) -> None:
    url = args.management_url or config.secret("management_url")
    if not url:
        raise ConfigError("give --management-url (or FUSEBOX_MANAGEMENT_URL), or --print the commands")
    management = Management(url)
    for role in roles:
        grant, file = grant_of(role), _password(config, role)
        management.declare(args.vhost, topology_of(role))
        management.allow(args.vhost, grant, file.read_text())
        print(f"{role.agent}: user {grant.user} in {args.vhost!r}, password in {file}")


def _print(roles: list[Role], vhost: str, config: Config) -> None:
    print(f"rabbitmqctl list_vhosts -q | grep -Fxq {shlex.quote(vhost)} || rabbitmqctl add_vhost {shlex.quote(vhost)}")
    for role in roles:
        for command in _commands(grant_of(role), vhost, _password(config, role)):
            print(command)
    print(f"# then, with FUSEBOX_AMQP_URL naming an administrator and virtual host {quote(vhost, safe='')}:")
    for role in roles:
        keys = f" --handles {shlex.quote(','.join(role.handles))}" if role.handles else ""
        print(f"fusebox rabbitmq declare --agent {role.agent}{keys}")


def _commands(grant: Grant, vhost: str, password: Path) -> Iterator[str]:
    """rabbitmqctl reads a password from its input, so none shows in a process list."""
    user, source = shlex.quote(grant.user), shlex.quote(str(password))
    yield f"rabbitmqctl add_user {user} < {source} || rabbitmqctl change_password {user} < {source}"
    for exchange, write in grant.topics.items():
        words = ("-p", vhost, grant.user, exchange, write, grant.configure)
        yield f"rabbitmqctl set_topic_permissions {shlex.join(words)}"
    words = ("-p", vhost, grant.user, grant.configure, grant.write, grant.read)
    yield f"rabbitmqctl set_permissions {shlex.join(words)}"


def _password(config: Config, role: Role) -> Path:
    return password_file(config.data_dir.resolve() / "rabbitmq", grant_of(role).user)
