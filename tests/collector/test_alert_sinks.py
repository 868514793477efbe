"""Each kind of sink against a real receiver: SMTP servers, RabbitMQ, HTTP stubs of Slack and ntfy."""

from __future__ import annotations

import json
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from collector.alerts.parcel import Parcel, digest, single
from collector.alerts.sinks import Fate
from collector.alerts.sinks.amqp import AmqpSink
from collector.alerts.sinks.apprise import AppriseSink
from collector.alerts.sinks.email import EmailSink, Server
from collector.alerts.sinks.http import EVERYWHERE, Poster
from collector.alerts.sinks.slack import SlackSink
from collector.alerts.text import Templates
from fusebox.clock import SystemClock
from fusebox.errors import ConfigError
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Queue, QueueType, Topology
from rabbitmq.node import PrivateNode
from rabbitmq.node_programs import free_ports
from tests.collector.receiver import Receiver, alert
from tests.fixtures.authority import Authority
from tests.fixtures.broker import Unique
from tests.fixtures.collector import until

ON_FIRE = {
    "reason": "<!channel> *loop* <https://evil.example|click>",
    "repeated": "tool_call tickets.comment × 5\r\nBcc: victim@example.com",
    "evidence": {"score": 5.0, "threshold": 4.0},
    "spans": ["t:1", "t:2"],
    "commands": ["fusebox why t:2", "fusebox resume bot --reason '...'"],
    "incident": "https://fusebox.example.com/incident?trip=trn_1",
}
HOSTILE = single(alert(1, **ON_FIRE), 0.0)
STORM = digest([single(alert(n), 0.0) for n in range(1, 31)], 0.0)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


class TestSlack:
    def sent(self, receiver: Receiver, parcel: Parcel, control: str = "https://control.example.com/") -> dict[str, Any]:
        sink = SlackSink("chat", Poster(receiver.url, EVERYWHERE), Templates(), control)
        assert sink.deliver(parcel).fate is Fate.DELIVERED
        return dict(json.loads(receiver.got[-1][1]))

    def test_what_an_agent_wrote_can_call_nobody_and_link_nowhere(self, receiver: Receiver) -> None:
        message = self.sent(receiver, HOSTILE)
        shown = json.dumps([block for block in message["blocks"] if block["type"] != "actions"][1:]) + message["text"]
        assert "<!channel>" not in shown
        assert "<https" not in shown
        assert "&lt;!channel&gt;" in shown
        assert "bot" in shown
        assert "fusebox resume bot" in shown

    def test_its_buttons_lead_to_pages_and_order_nothing(self, receiver: Receiver) -> None:
        (actions,) = [block for block in self.sent(receiver, HOSTILE)["blocks"] if block["type"] == "actions"]
        urls = {button["text"]["text"]: button["url"] for button in actions["elements"]}
        assert urls == {
            "Incident": "https://fusebox.example.com/incident?trip=trn_1",
            "Resume…": "https://control.example.com/confirm/resume?scope=agent%3Abot",
            "Kill…": "https://control.example.com/confirm/kill?scope=agent%3Abot",
        }
        assert all("value" not in button and "action_id" not in button for button in actions["elements"])

    def test_what_a_person_is_asked_about_is_shown_as_it_is(self, receiver: Receiver) -> None:
        page = "https://control.example.com/confirm/approval?scope=apr_1"
        arguments = '{"note":"<!channel> *bold* ```"}'
        asked = alert(type="approval.asked", approval="apr_1", arguments=arguments, incident=page)
        message = self.sent(receiver, single(asked, 0.0))
        assert "&lt;!channel&gt; *bold*" in json.dumps(message["blocks"], ensure_ascii=False)
        (actions,) = [block for block in message["blocks"] if block["type"] == "actions"]
        assert {"text": {"type": "plain_text", "text": "Answer…"}, "type": "button", "url": page} in actions["elements"]

    def test_no_part_of_an_alert_is_a_link_or_is_looked_up_by_slack(self, receiver: Receiver) -> None:
        arguments = '{"note":"see https://evil.example/?q=secret"}'
        message = self.sent(receiver, single(alert(type="approval.asked", arguments=arguments), 0.0))
        texts = [block["text"] for block in message["blocks"] if "text" in block]
        texts += [each for block in message["blocks"] if block["type"] == "context" for each in block["elements"]]
        assert [text for text in texts if "evil.example" in text["text"]]
        assert all(text["type"] == "plain_text" or text.get("verbatim") for text in texts)
        assert (message["unfurl_links"], message["unfurl_media"]) == (False, False)

    @pytest.mark.parametrize("filling", ["<", "&", "`"])
    def test_what_slack_spells_longer_still_fits_and_is_all_there(self, receiver: Receiver, filling: str) -> None:
        """Slack refuses a message with a text beyond 3,000 characters, or with more than fifty blocks."""
        asked = alert(type="approval.asked", arguments=filling * 1_990 + "END")
        many = [single(alert(n, agent=f"bot-{n}!", reason=filling * 500), 0.0) for n in range(60)]
        for parcel, named in ((single(asked, 0.0), ["END"]), (digest(many, 0.0), [f"bot-{n}!" for n in range(60)])):
            blocks = self.sent(receiver, parcel)["blocks"]
            texts = [block["text"]["text"] for block in blocks if block["type"] == "section"]
            assert max(map(len, texts)) <= 3_000
            assert len(blocks) <= 50
            assert all(any(name in text for text in texts) for name in named)

    def test_a_digest_names_every_alert_in_it(self, receiver: Receiver) -> None:
        page = "https://fusebox.example.com/incident?trip=trn_"
        storm = digest(
            [single(alert(n, agent=f"bot-{n}!", reason="<loop>" * 50, incident=f"{page}{n}"), 0.0) for n in range(100)],
            0.0,
        )
        message = self.sent(receiver, storm)
        assert "100 alerts: 100 circuit.opened" in json.dumps(message)
        assert all(f"bot-{n}!" in json.dumps(message) for n in range(100))
        assert all(f"{page}{n}\\n" in json.dumps(message) for n in range(100))
        assert all(len(block["text"]["text"]) <= 3_000 for block in message["blocks"])
        assert len(message["blocks"]) <= 50
        assert not [block for block in message["blocks"] if block["type"] == "actions"]


class _Mailbox:
    """Takes mail, except for who is called ``nobody``."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.goodbye = "221 Bye"

    async def handle_RCPT(
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        if address.startswith("nobody"):
            return "550 no such user"
        if address.startswith("later"):
            return "451 try again"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:
        return self.goodbye

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:
        mail = message_from_bytes(bytes(envelope.content or b""), EmailMessage, policy=default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"), "mail-ca")


@pytest.fixture
def trusting(authority: Authority) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(authority.file))


@pytest.fixture
def mailbox() -> _Mailbox:
    return _Mailbox()


Serve = Callable[..., int]


@pytest.fixture
def serve(mailbox: _Mailbox, authority: Authority) -> Iterator[Serve]:
    """Starts a mail server (``starttls`` or ``implicit``) and returns its port."""
    running: list[Controller] = []

    def start(tls: str) -> int:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate, key = authority.issue(f"mail-{tls}")
        server.load_cert_chain(certificate, key)
        # Its own check after the start knows no TLS from the first byte.
        kind = _Implicit if tls == "implicit" else Controller
        more: dict[str, Any] = {"ssl_context": server} if tls == "implicit" else {"tls_context": server, **_LOGIN}
        controller = kind(mailbox, hostname="127.0.0.1", port=free_ports(1)[0], **more)
        controller.start()
        running.append(controller)
        return int(controller.port)

    yield start
    for controller in running:
        controller.stop()


class _Implicit(Controller):
    def _trigger_server(self) -> None:
        context = ssl._create_unverified_context()
        with socket.create_connection(("127.0.0.1", self.port), 5) as raw, context.wrap_socket(raw) as sock:
            sock.recv(100)


def _authenticate(_server: SMTP, _session: Session, _envelope: Envelope, _mechanism: str, data: Any) -> AuthResult:
    known = isinstance(data, LoginPassword) and (data.login, data.password) == (b"jo", b"secret")
    return AuthResult(success=known, handled=known)


_LOGIN: dict[str, Any] = {"require_starttls": True, "auth_required": True, "authenticator": _authenticate}


class _Trickling(socketserver.ThreadingTCPServer):
    cut = False


class _Greeting(socketserver.StreamRequestHandler):
    """A greeting of six seconds, a letter at a time."""

    server: _Trickling

    def handle(self) -> None:
        try:
            for letter in b"220 " + b"." * 56:
                self.wfile.write(bytes([letter]))
                time.sleep(0.1)
        except OSError:
            self.server.cut = True


class TestEmail:
    def sink(self, server: Server, *to: str) -> EmailSink:
        recipients = to or ("oncall@example.com",)
        return EmailSink("mail", server, "fusebox@example.com", recipients, Templates(), SystemClock())

    def test_it_arrives_over_starttls_with_a_login(
        self, serve: Serve, mailbox: _Mailbox, trusting: ssl.SSLContext
    ) -> None:
        server = Server("127.0.0.1", serve("starttls"), user="jo", password="secret", context=trusting)
        assert self.sink(server).deliver(HOSTILE).fate is Fate.DELIVERED
        (mail,) = mailbox.mails
        assert mail["To"] == "oncall@example.com"
        assert mail["Message-ID"] == "<alert_1@example.com>"
        assert mail["Subject"].strip().startswith("[critical] circuit.opened bot: ")
        text = mail.get_content()
        assert "score 5, threshold 4, 2 spans, the newest t:2" in text
        assert "https://fusebox.example.com/incident?trip=trn_1" in text
        assert "fusebox why t:2" in text

    def test_a_mail_that_was_taken_is_taken_however_the_server_says_goodbye(
        self, serve: Serve, mailbox: _Mailbox, trusting: ssl.SSLContext
    ) -> None:
        mailbox.goodbye = "421 closing"
        server = Server("127.0.0.1", serve("starttls"), user="jo", password="secret", context=trusting)
        assert self.sink(server).deliver(HOSTILE).fate is Fate.DELIVERED
        assert len(mailbox.mails) == 1

    def test_it_arrives_over_tls_from_the_first_byte(
        self, serve: Serve, mailbox: _Mailbox, trusting: ssl.SSLContext
    ) -> None:
        server = Server("127.0.0.1", serve("implicit"), "implicit", context=trusting)
        assert self.sink(server).deliver(STORM).fate is Fate.DELIVERED
        assert mailbox.mails[0].get_content().count("circuit.opened") >= 30

    def test_what_an_agent_wrote_makes_no_header(
        self, serve: Serve, mailbox: _Mailbox, trusting: ssl.SSLContext
    ) -> None:
        parcel = single(alert(1, reason="loop\r\nBcc: victim@example.com\r\n\r\nhello"), 0.0)
        server = Server("127.0.0.1", serve("starttls"), user="jo", password="secret", context=trusting)
        assert self.sink(server).deliver(parcel).fate is Fate.DELIVERED
        assert mailbox.mails[0]["Bcc"] is None
        assert "Bcc: victim" in mailbox.mails[0]["Subject"]

    def test_a_server_nobody_vouches_for_gets_nothing(self, serve: Serve, mailbox: _Mailbox) -> None:
        server = Server("127.0.0.1", serve("starttls"), user="jo", password="secret")
        outcome = self.sink(server).deliver(HOSTILE)
        assert outcome.fate is Fate.RETRY
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail
        assert mailbox.mails == []

    @pytest.mark.parametrize(
        ("to", "fate"),
        [
            (("nobody@example.com",), Fate.REFUSED),
            (("later@example.com",), Fate.RETRY),
            (("nobody@example.com", "oncall@example.com"), Fate.DELIVERED),
        ],
    )
    def test_what_becomes_of_recipients(
        self, serve: Serve, trusting: ssl.SSLContext, to: tuple[str, ...], fate: Fate
    ) -> None:
        server = Server("127.0.0.1", serve("starttls"), user="jo", password="secret", context=trusting)
        assert self.sink(server, *to).deliver(HOSTILE).fate is fate

    def test_a_wrong_password_and_a_dead_server_are_tried_again_later(
        self, serve: Serve, trusting: ssl.SSLContext
    ) -> None:
        wrong = Server("127.0.0.1", serve("starttls"), user="jo", password="guess", context=trusting)
        assert self.sink(wrong).deliver(HOSTILE).fate in (Fate.RETRY, Fate.REFUSED)
        assert self.sink(Server("127.0.0.1", free_ports(1)[0])).deliver(HOSTILE).fate is Fate.RETRY

    def test_a_server_whose_greeting_trickles_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("collector.alerts.sinks.email.TIMEOUT_S", 1.0)
        with _Trickling(("127.0.0.1", 0), _Greeting) as trickling:
            threading.Thread(target=trickling.serve_forever, args=(0.02,), daemon=True).start()
            outcome = self.sink(Server("127.0.0.1", trickling.server_address[1], "none")).deliver(HOSTILE)
            trickling.shutdown()
        assert outcome.fate is Fate.RETRY
        assert trickling.cut, "nobody waited for the end of it"

    def test_nothing_leaves_this_machine_in_the_clear(self) -> None:
        with pytest.raises(ConfigError, match="starttls"):
            Server("mail.example.com", 25, "none")


class TestAmqp:
    def test_each_alert_is_a_message_for_whoever_binds_a_queue(
        self, rabbitmq_node: PrivateNode, unique: Unique
    ) -> None:
        sink = AmqpSink("bus", AmqpBroker(rabbitmq_node.url), SystemClock())
        reader = AmqpBroker(rabbitmq_node.url)
        reader.start()
        queue = unique("pager")
        try:
            outcome = sink.deliver(HOSTILE)
            assert outcome.fate is Fate.REFUSED
            assert "no queue is bound" in outcome.detail
            reader.declare(
                Topology(
                    queues=(Queue(queue, QueueType.CLASSIC, exclusive=True),),
                    bindings=(Binding("fusebox.alerts", queue, "critical.#"),),
                )
            )
            assert sink.deliver(HOSTILE).fate is Fate.DELIVERED
            delivery = until(lambda: reader.get(queue), "the message")
            assert delivery.routing_key == "critical.circuit.opened"
            assert delivery.message.message_id == "alert_1"
            assert json.loads(delivery.message.body) == {"id": "alert_1", **alert(1, **ON_FIRE).json()}
        finally:
            sink.close()
            reader.stop()

    def test_a_broker_that_is_away_is_tried_again(self) -> None:
        sink = AmqpSink("bus", AmqpBroker(f"amqp://127.0.0.1:{free_ports(1)[0]}"), SystemClock())
        assert sink.deliver(HOSTILE).fate is Fate.RETRY
        sink.close()


class TestApprise:
    def test_a_service_of_the_library_gets_title_and_text(self, receiver: Receiver) -> None:
        receiver.answers = [(200, {}, b"{}")]
        sink = AppriseSink("phone", f"ntfy://127.0.0.1:{receiver.server_port}/oncall", Templates())
        assert sink.deliver(HOSTILE).fate is Fate.DELIVERED
        sent = receiver.got[0][1].decode()
        assert "circuit.opened" in sent
        assert "fusebox why t:2" in sent

    def test_one_that_does_not_answer_is_tried_again_and_redirects_are_not_followed(self, receiver: Receiver) -> None:
        receiver.answers = [(307, {"location": f"{receiver.url}/elsewhere"}, b"")]
        sink = AppriseSink("phone", f"ntfy://127.0.0.1:{receiver.server_port}/oncall", Templates())
        assert sink.deliver(HOSTILE).fate is Fate.RETRY
        assert len(receiver.got) == 1

    @pytest.mark.parametrize("url", ["json://127.0.0.1/", "xmls://10.0.0.1/", "form://localhost/"])
    def test_schemes_that_post_anywhere_are_refused(self, url: str) -> None:
        with pytest.raises(ConfigError, match="webhook"):
            AppriseSink("phone", url, Templates())

    def test_a_service_it_does_not_know_is_refused_without_telling_the_url(self) -> None:
        with pytest.raises(ConfigError, match="no service") as refused:
            AppriseSink("phone", "carrierpigeon://token@loft", Templates())
        assert "token" not in str(refused.value)

    def test_without_the_library_the_error_names_the_extra(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "apprise", None)
        with pytest.raises(ConfigError, match=r"agent-fusebox\[apprise\]"):
            AppriseSink("phone", "ntfy://127.0.0.1/oncall", Templates())


class TestTemplates:
    def test_an_operator_may_word_alerts(self) -> None:
        templates = Templates("$agent: $type", "$reason ($$5) $$agent")
        assert templates.subject_of(single(alert(), 0.0)) == "bot: circuit.opened"
        assert templates.text_of(single(alert(reason="$agent ${id}"), 0.0)) == "$agent ${id} ($5) $agent"

    @pytest.mark.parametrize("text", ["$agnet", "costs $ 5", "${"])
    def test_a_template_that_names_what_there_is_not_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match=r"templates\.text"):
            Templates(text=text)

    def test_what_agents_wrote_stays_on_its_line(self) -> None:
        parcel = single(alert(reason="a\r\nb\x1b[31m\u202ec\x00"), 0.0)
        shown = Templates(text="$reason").text_of(parcel)
        assert shown.isprintable()
