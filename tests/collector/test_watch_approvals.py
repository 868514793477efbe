"""Watch asks people and hears them: by the API, by pages, by signed webhooks; replayed, raced, late, or forged."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr
from redis import Redis

from collector.approvers import Approvers
from collector.tokens import Tokens
from collector.watch.api import MAX_BODY
from fusebox import cli, happenings, webhooks
from fusebox.clock import ManualClock, SystemClock
from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import ControlUnavailable
from governance.approvals.register import NEWS_S
from governance.approvals.request import Request, exact
from tests.collector.receiver import SECRET, Receiver
from tests.collector.test_watch_pages import Browser, token, word
from tests.fixtures.approvals import asked, steps
from tests.fixtures.collector import until
from tests.fixtures.watch import Harness

Json = dict[str, Any]
ORDER = {"supplier": "Acme", "quantity": 200}
NONCE = "n" * 32


def hold(harness: Harness, *, origin: str = "msg_1", token: str | None = None, arguments: object = ORDER) -> Json:
    """What an agent's process says when a guard holds its action."""
    request = Request("buyer", "tool_call", "erp.commit", "PO-1", exact(arguments), "commit(order)", "r1", "policy",
                      "orders take a person", origin=origin)  # fmt: skip
    body = {"process": "p1", "request": request.json(), "nonce": NONCE, "by_origin": True, "named": ""}
    return harness.agent(token).send("hold", body)


def person(harness: Harness, name: str) -> ControlClient:
    return ControlClient(harness.watch.url, Tokens(harness.config.data_dir / "operators.json").add(name))


def refused(call: Any, *args: Any) -> int:
    with pytest.raises(ControlRefused) as error:
        call(*args)
    return error.value.status


class TestPeople:
    def test_a_person_is_shown_everything_and_one_answer_is_one_grant(self, harness: Harness) -> None:
        told = hold(harness)
        assert (told["stage"], told["grant"]) == ("pending", "")
        operator = harness.operator()
        row = operator.approval(told["approval"])
        assert json.loads(row["request"]["arguments"]) == ORDER
        assert operator.answer(row["id"], row["digest"], True, "checked")["stage"] == "approved"
        first, second = hold(harness), hold(harness)
        assert (first["stage"], second["stage"]) == ("used", "pending")
        grant = harness.keyring.open(first["grant"].encode())
        assert grant == {
            "kind": "grant", "approval": row["id"], "digest": row["digest"], "nonce": NONCE, "tenant": "default",
        }  # fmt: skip
        assert [(e["actor"], e["payload"]["step"]) for e in harness.journal("approval")] == [
            ("agent:buyer", "asked"), ("operator:local", "answered"), ("agent:buyer", "used"), ("agent:buyer", "asked"),
        ]  # fmt: skip

    def test_a_double_click_counts_once(self, harness: Harness) -> None:
        hold(harness)
        (row,) = asked(harness)

        def click(_: int) -> int:
            try:
                harness.operator().answer(row["id"], row["digest"], True, "yes")
            except ControlRefused as error:
                return error.status
            return 200

        with ThreadPoolExecutor(16) as pool:
            statuses = list(pool.map(click, range(40)))
        assert (statuses.count(200), set(statuses)) == (1, {200, 409})
        assert steps(harness) == ["asked", "answered"]

    def test_who_asked_cannot_agree_and_two_people_are_two(self, watch_config: Config, harness: Harness) -> None:
        watch_config.agents_file.write_text(
            '[agents.buyer]\nowner = "o"\napprovals = { by = ["jo", "dana", "kim"], people = 2 }\n'
        )
        machine = Tokens(harness.config.data_dir / "principals.json").add("jo", ("buyer",))
        told = hold(harness, token=machine)
        row = harness.operator().approval(told["approval"])
        jo, dana, kim = (person(harness, name) for name in ("jo", "dana", "kim"))
        answer = (row["id"], row["digest"], True, "yes")
        assert refused(jo.answer, *answer) == 403
        assert refused(harness.operator().answer, *answer) == 403, "local is not among them"
        assert dana.answer(*answer)["stage"] == "pending"
        assert refused(dana.answer, *answer) == 409
        assert kim.answer(*answer)["stage"] == "approved"

    def test_what_somebody_agreed_to_who_was_shut_out_since_does_not_go_ahead(self, harness: Harness) -> None:
        dana = person(harness, "dana")
        row = harness.operator().approval(hold(harness)["approval"])
        assert dana.answer(row["id"], row["digest"], True, "yes")["stage"] == "approved"
        Tokens(harness.config.data_dir / "operators.json").remove("dana")
        with pytest.raises(ControlRefused, match=r"dana agreed to .* neither token nor key any more"):
            hold(harness)
        assert harness.operator().answer(row["id"], row["digest"], False, "who was that?")["stage"] == "denied"
        assert hold(harness)["stage"] == "pending", "people are asked anew"

    def test_where_two_must_agree_the_machine_is_none_of_them(self, watch_config: Config, harness: Harness) -> None:
        def require_two(by: str = "") -> None:
            watch_config.agents_file.write_text(f'[agents.buyer]\nowner = "o"\napprovals = {{ {by}people = 2 }}\n')

        kim = person(harness, "kim")
        for by in ("", 'by = ["kim", "local"], '):
            require_two(by)
            with pytest.raises(ControlRefused, match="takes 2 people to agree, and 1 may: kim"):
                hold(harness)
        require_two()
        dana = person(harness, "dana")
        row = harness.operator().approval(hold(harness)["approval"])
        answer = (row["id"], row["digest"], True, "yes")
        assert kim.answer(*answer)["stage"] == "pending"
        assert refused(harness.operator().answer, *answer) == 403, "whoever kim is may be able to read that token"
        assert dana.answer(*answer)["stage"] == "approved"

    def test_who_is_asked_is_who_agents_toml_names_now(self, watch_config: Config, harness: Harness) -> None:
        def asked_of(origin: str) -> list[str]:
            return list(harness.operator().approval(hold(harness, origin=origin)["approval"])["allowed"])

        for name in ("dana", "kim"):
            watch_config.agents_file.write_text(f'[agents.buyer]\nowner = "o"\napprovals = {{ by = ["{name}"] }}\n')
            assert asked_of(name) == [name]
        watch_config.agents_file.write_text("[agents.buyer\n")
        before = happenings.counts()["approval_rules_kept"]
        assert asked_of("later") == ["kim"], "what is no rule changes none"
        assert happenings.counts()["approval_rules_kept"] == before + 1

    @pytest.mark.parametrize(
        "arguments",
        [
            '{"amount":1,"amount":9000}', '{"amount":1e400}', '{"amount":9007199254740993.0}', '{"amount":1.10}',
            '{"amount": 1}', "[NaN]", "pay ann", '"\\ud800"', "[" * 2_000 + "]" * 2_000, "",
        ],
    )  # fmt: skip
    def test_nobody_is_asked_about_arguments_that_could_be_shown_otherwise(
        self, harness: Harness, arguments: str
    ) -> None:
        request = Request("buyer", "tool_call", "erp.commit", "PO-1", arguments, origin="msg_1")
        body = {"process": "p1", "request": request.json(), "nonce": NONCE, "by_origin": True, "named": ""}
        with pytest.raises(ControlRefused, match="not canonical JSON"):
            harness.agent().send("hold", body)
        assert harness.operator().approvals()["approvals"] == []

    def test_a_token_asks_for_its_own_agents_only(self, harness: Harness) -> None:
        foreign = Tokens(harness.config.data_dir / "principals.json").add("host", ("other",))
        with pytest.raises(ControlRefused, match="may not speak for buyer"):
            hold(harness, token=foreign)

    def test_an_answer_is_to_what_was_read(self, harness: Harness) -> None:
        first, other = hold(harness), hold(harness, origin="msg_2", arguments={"quantity": 2000})
        digest = harness.operator().approval(first["approval"])["digest"]
        assert refused(harness.operator().answer, other["approval"], digest, True, "yes") == 409
        assert refused(harness.operator().answer, "apr_" + "0" * 16, digest, True, "yes") == 409
        assert refused(harness.operator().answer, first["approval"], "short", True, "yes") == 400
        assert refused(harness.operator().approval, "apr_none") == 404

    def test_what_was_asked_can_be_erased_and_that_it_was_used_cannot(self, harness: Harness) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        harness.operator().answer(row["id"], row["digest"], True, "yes")
        assert hold(harness)["stage"] == "used"
        question, answered, used = (entry["seq"] for entry in harness.journal("approval"))
        assert refused(harness.operator().erase, "watch", answered, "request 77") == 409
        assert refused(harness.operator().erase, "watch", used, "request 77") == 409
        assert harness.operator().erase("watch", question, "request 77")["seq"] > used

    def test_nobody_is_asked_more_than_so_much(self, watch_config: Config) -> None:
        running = Harness(watch_config.model_copy(update={"approvals_each": 2}), ManualClock())
        running.start()
        try:
            hold(running, origin="1")
            hold(running, origin="2")
            with pytest.raises(ControlRefused, match="ask again later") as error:
                hold(running, origin="3")
            assert error.value.status == 429
        finally:
            running.close()


class TestTime:
    @pytest.fixture
    def timed(self, watch_config: Config) -> Iterator[Harness]:
        running = Harness(watch_config, ManualClock())
        yield running.start()
        running.close()

    def test_nobody_answers_in_time(self, timed: Harness) -> None:
        row = timed.operator().approval(hold(timed)["approval"])
        assert isinstance(timed.clock, ManualClock)
        timed.clock.advance(900.0)
        assert refused(timed.operator().answer, row["id"], row["digest"], True, "late") == 409
        until(lambda: "expired" in steps(timed), "it is journaled")
        assert timed.operator().approval(row["id"])["stage"] == "expired"
        assert timed.agent().send("standing", {"process": "p1", "agents": ["buyer"]}) == {
            "approvals": {row["id"]: "expired"}
        }
        timed.clock.advance(NEWS_S + 1)
        assert timed.agent().send("standing", {"process": "p1", "agents": ["buyer"]}) == {"approvals": {}}, "no news"

    def test_a_backup_of_redis_that_is_put_back_makes_nothing_live_again(
        self, watch_config: Config, redis_url: str
    ) -> None:
        """What has ended is in the journal: *watch* knows it after a restart, whatever the store says."""
        settings = {"redis_url": SecretStr(redis_url), "tenant": f"t{uuid4().hex[:8]}"}
        running = Harness(watch_config.model_copy(update=settings), SystemClock())
        running.start()
        client = Redis.from_url(redis_url)
        try:
            row = running.operator().approval(hold(running)["approval"])
            running.operator().answer(row["id"], row["digest"], True, "yes")
            keys = list(client.keys(f"fusebox:{settings['tenant']}:approval*"))
            backup = {key: client.dump(key) for key in keys}
            assert hold(running)["stage"] == "used"
            running.stop()
            for key, dumped in backup.items():
                client.restore(key, 0, dumped, replace=True)
            running.start()
            assert running.operator().approval(row["id"])["stage"] == "expired"
            assert hold(running)["stage"] == "pending"
        finally:
            client.close()
            running.close()

    def test_with_redis_an_approval_outlives_watch(self, watch_config: Config, redis_url: str) -> None:
        settings = {"redis_url": SecretStr(redis_url), "tenant": f"t{uuid4().hex[:8]}"}
        running = Harness(watch_config.model_copy(update=settings), SystemClock())
        running.start()
        try:
            row = running.operator().approval(hold(running)["approval"])
            running.restart()
            assert running.operator().answer(row["id"], row["digest"], True, "yes")["stage"] == "approved"
            running.restart()
            assert hold(running)["stage"] == "used"
        finally:
            running.close()


class TestJournal:
    def test_without_the_journal_nobody_is_asked_nothing_answered_and_nothing_done(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        answer = (row["id"], row["digest"], True, "yes")
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", _fail)
            with pytest.raises(ControlUnavailable, match="nothing was done"):
                hold(harness, origin="another")
            with pytest.raises(ControlUnavailable, match="nothing was done"):
                harness.operator().answer(*answer)
        assert harness.operator().answer(*answer)["stage"] == "approved"
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", _fail)
            with pytest.raises(ControlUnavailable, match="nothing was done"):
                hold(harness)
        assert hold(harness)["stage"] == "used"


def _fail(_fd: int) -> None:
    raise OSError(5, "the disk is gone")


class TestPages:
    def test_a_scanner_that_follows_the_link_agrees_to_nothing(self, harness: Harness) -> None:
        path = f"/confirm/approval?scope={hold(harness)['approval']}"
        browser = Browser(harness)
        for method in ("GET", "HEAD"):
            assert browser.get(path, method)[0] == 200
        assert "Acme" not in browser.get(path)[1]
        browser.logged_in(token(harness), path)  # and one that runs where a person is logged in
        for method in ("GET", "HEAD"):
            assert browser.get(f"{path}&answer=approve&reason=x", method)[0] == 200
        assert browser.get("/v1/approvals/answer?approve=true")[0] in (401, 405)
        assert steps(harness) == ["asked"]

    def test_a_person_reads_exact_arguments_and_answers_them(self, harness: Harness) -> None:
        approval = hold(harness, arguments={"note": '"><script>alert(1)</script>\u202e'})["approval"]
        path, browser = f"/confirm/approval?scope={approval}", Browser(harness)
        secret = browser.logged_in(token(harness), path)
        page = browser.get(path)[1]
        assert "<script>" not in page
        assert "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\\u202e" in page.replace("\\&quot;", "&quot;")
        digest = re.findall(r'name="digest" value="([^"]+)"', page)[0]
        fields = {"scope": approval, "word": secret, "digest": digest}
        for wrong in (
            {"answer": "approve"},
            {"reason": "read it"},
            {"answer": "approve", "reason": "r", "digest": "0"},
        ):
            assert browser.post("/confirm/approval", **{**fields, **wrong})[0] == 400
        assert browser.post("/confirm/approval", **{**fields, "word": "guess"}, answer="approve", reason="x")[0] == 403
        assert steps(harness) == ["asked"]
        status, told = browser.post("/confirm/approval", **fields, answer="approve", reason="read it")
        assert (status, "Now approved" in told) == (200, True)
        (entry,) = [e for e in harness.journal("approval") if e["payload"]["step"] == "answered"]
        assert (entry["actor"], entry["reason"], entry["payload"]["via"]) == ("operator:local", "read it", "page")
        status, told = browser.post("/confirm/approval", **fields, answer="approve", reason="again")
        assert (status, "This is approved" in told) == (409, True)
        assert word(browser.get("/confirm/kill?scope=agent%3Abot")[1]) == secret


class TestWebhooks:
    @pytest.fixture
    def keys(self, harness: Harness) -> dict[str, str]:
        """Private keys of people whose webhooks are believed."""
        private, public = webhooks.new_key_pair()
        secret = webhooks.new_secret()
        approvers = Approvers(harness.config.data_dir)
        approvers.add("dana", public)
        approvers.add("flow", secret)
        return {"dana": private, "flow": secret}

    @staticmethod
    def post(harness: Harness, headers: dict[str, str], body: bytes, method: str = "POST") -> tuple[int, Json]:
        request = urllib.request.Request(
            f"{harness.watch.url}/v1/approvals/webhook", body or None, headers, method=method
        )  # fmt: skip
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def signed(
        self, harness: Harness, key: str, row: Json, *, id: str = "wh_1", at: float = 0.0, **changed: Any
    ) -> tuple[dict[str, str], bytes]:
        data = {"approval": row["id"], "digest": row["digest"], "approve": True, "reason": "ok"} | changed
        body = json.dumps({"type": "approval.answered", "data": data}).encode()
        return webhooks.signed_headers(key, id, int(harness.clock.wall() + at), body), body

    def test_each_key_answers_in_its_owners_name(self, harness: Harness, keys: dict[str, str]) -> None:
        for n, (name, key) in enumerate(keys.items()):
            row = harness.operator().approval(hold(harness, origin=name)["approval"])
            assert self.post(harness, *self.signed(harness, key, row, id=f"wh_{n}"))[0] == 200
        said = [e for e in harness.journal("approval") if e["payload"]["step"] == "answered"]
        assert [(e["actor"], e["payload"]["via"]) for e in said] == [
            ("operator:dana", "webhook"), ("operator:flow", "webhook"),
        ]  # fmt: skip

    def test_the_same_webhook_a_hundred_times_at_once_counts_once(self, harness: Harness, keys: dict[str, str]) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        headers, body = self.signed(harness, keys["dana"], row)
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(lambda _: self.post(harness, headers, body), range(100)))
        assert {status for status, _ in answers} == {200}
        assert sum("repeated" not in told for _, told in answers) == 1
        assert steps(harness) == ["asked", "answered"]
        assert [hold(harness)["stage"] for _ in range(2)] == ["used", "pending"]
        assert self.post(harness, headers, body)[1]["repeated"] is True
        assert steps(harness) == ["asked", "answered", "used", "asked"]

    def test_what_is_not_signed_just_now_by_an_approver_is_a_401_and_nothing_else(
        self, harness: Harness, keys: dict[str, str]
    ) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        headers, body = self.signed(harness, keys["dana"], row)
        stranger, _ = webhooks.new_key_pair()
        signature = headers["webhook-signature"]
        garbled = [
            {**headers, "webhook-signature": each}
            for each in ("", "v1a,", "v1a,%%%", "v2,AAAA", signature[:-4], signature.replace("v1a", "v1"), " " * 50)
        ]
        cases = [
            *((each, body) for each in garbled),
            ({**headers, "webhook-timestamp": "1e9"}, body), ({**headers, "webhook-timestamp": "-1"}, body),
            ({**headers, "webhook-id": "another"}, body), ({}, body), (headers, body + b" "), (headers, b""),
            self.signed(harness, keys["dana"], row, at=-301), self.signed(harness, keys["dana"], row, at=302),
            self.signed(harness, stranger, row),
            self.signed(harness, keys["dana"], row, approve="yes"), self.signed(harness, keys["dana"], row, more=1),
        ]  # fmt: skip
        for raw in (b"", b"[]", b"{", b'{"type":"approval.answered"}', b'{"type":"other","data":{}}', b"[" * 100_000,
                    b" " * (MAX_BODY + 1)):  # fmt: skip
            cases.append((webhooks.signed_headers(keys["dana"], "wh_2", int(harness.clock.wall()), raw), raw))
        for given, raw in cases:
            status, told = self.post(harness, given, raw)
            assert (status, told["error"]) == (401, "no answer that an approver signed just now"), (given, raw[:80])
        assert self.post(harness, headers, b"", "GET")[0] in (401, 404, 405)
        assert steps(harness) == ["asked"]
        until(lambda: harness.journal("login_failed"), "somebody was turned away, and that is journaled")

    def test_a_key_that_was_taken_back_is_worth_nothing(self, harness: Harness, keys: dict[str, str]) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        Approvers(harness.config.data_dir).remove("dana")
        assert self.post(harness, *self.signed(harness, keys["dana"], row))[0] == 401
        (harness.config.data_dir / "approvers.json").write_text("{")
        assert self.post(harness, *self.signed(harness, keys["flow"], row))[0] == 401

    def test_a_webhook_that_could_not_be_journaled_counts_when_it_comes_again(
        self, harness: Harness, keys: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        row = harness.operator().approval(hold(harness)["approval"])
        headers, body = self.signed(harness, keys["dana"], row)
        with monkeypatch.context() as broken:
            broken.setattr(os, "fdatasync", _fail)
            assert self.post(harness, headers, body)[0] == 503
        assert self.post(harness, headers, body)[1]["stage"] == "approved"


class TestAsking:
    def test_people_are_told_what_exactly_and_where_to_answer(self, watch_config: Config, tmp_path: Any) -> None:
        receiver = Receiver()
        (tmp_path / "alerts.toml").write_text(
            f'[sinks.pager]\ntype = "webhook"\nurl = "{receiver.url}"\nkeys = ["{SECRET}"]\n'
            'allow_networks = ["127.0.0.0/8"]\ngroup_s = 0\n[links]\ncontrol = "https://control.example.com/"\n'
        )
        harness = Harness(watch_config.model_copy(update={"alerts_file": tmp_path / "alerts.toml"}), ManualClock())
        harness.start()
        try:
            approval = hold(harness)["approval"]
            hold(harness)
            until(lambda: receiver.got, "people are told")
            told = json.loads(receiver.got[0][1])
            assert (told["type"], told["data"]["severity"]) == ("approval.asked", "warning")
            assert json.loads(told["data"]["arguments"]) == ORDER
            assert told["data"]["incident"] == f"https://control.example.com/confirm/approval?scope={approval}"
            assert len([a for a in harness.operator().alerts()["alerts"] if a["type"] == "approval.asked"]) == 1
            long = hold(harness, origin="2", arguments={"note": "x" * 5_000})["approval"]
            until(lambda: len(receiver.got) > 1, "people are told")
            data = json.loads(receiver.got[-1][1])["data"]
            assert data["approval"] == long
            assert data["arguments"].endswith(f" … and {len(exact({'note': 'x' * 5_000})) - 2_000} characters more")
        finally:
            harness.close()
            receiver.close()


class TestVerb:
    def test_list_show_and_answer(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FUSEBOX_DATA_DIR", str(harness.config.data_dir))

        def run(*args: str) -> tuple[int, str]:
            code = cli.main(["approvals", *args])
            return code, capsys.readouterr().out

        assert run("list") == (0, "nothing waits for a person\n")
        first, second = hold(harness)["approval"], hold(harness, origin="2")["approval"]
        code, shown = run("list")
        assert (code, first in shown, second in shown) == (1, True, True)
        assert '"quantity": 200' in run("show", first)[1]
        assert json.loads(run("show", first, "--json")[1])["request"]["target"] == "PO-1"
        assert f"{first} is approved" in run("approve", first, "--reason", "read it")[1]
        assert json.loads(run("deny", second, "--reason", "no", "--json")[1])["stage"] == "denied"
        assert run("list")[0] == 0
        assert run("keys", "add", "flow")[1].startswith("whsec_")
        assert run("keys", "list")[1] == "flow\n"
        assert run("keys", "list", "--json")[1] == '[{"name": "flow"}]\n'
        assert run("keys", "remove", "flow")[0] == 0
        with pytest.raises(SystemExit):
            run("answer")
