"""What the gateway decides is on record: by agent, guard and reason, with counts and without what was hidden."""

from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Provider, StartGateway, whole
from tests.fixtures.watch import Harness
from tests.gateway.test_ledger import CHAT, ask
from tests.gateway.test_tools import call

MAIL, OTHER = "ada@example.org", "bob@example.org"
SETTINGS = """
[masking]
[filter]
[[limits]]
scope = "agent"
measure = "requests"
limit = 1
window_s = 3600
"""


def test_refusals_masking_and_keys_are_journaled_with_counts(
    harness: Harness, gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(SETTINGS)
    provider.answers = [whole("openai_chat.json")]
    name, narrow = running.keys.add("label-bot", team="", models=("steady",), tools=())
    about = {**CHAT, "messages": [{"role": "user", "content": f"tell {MAIL} and {OTHER}"}]}
    assert call(running, "POST", "/tools/tickets/1", body={"sql": "DROP TABLE users"}).status == 403
    assert ask(running, "/v1/chat/completions", about)[0] == 200
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 429
    assert call(running, "GET", "/tools/tickets/1", key=narrow).status == 403

    def recorded() -> set[tuple[str, str, str, str, int]]:
        found = harness.journal("allow", "denial", "operator")
        return {
            (e["kind"], e["actor"], e["subject"], e["reason"].partition(":")[0], e["payload"].get("count", 0))
            for e in found
        }

    expected = {
        ("allow", "masking", "ticket-helper", "mask EMAIL", 2),
        ("denial", "filter", "ticket-helper", "sql.grant", 1),
        ("denial", "key", "label-bot", "the key of label-bot does not allow the tool 'tickets'; its operator can", 1),
    }
    eventually(lambda: expected <= recorded(), what="entries of what guards ruled")
    eventually(lambda: any(each[:2] == ("denial", "quota") for each in recorded()), what="the refusal of the quota")
    key = ("operator", "cli", f"label-bot/{name}")
    eventually(lambda: (*key, "virtual key added", 0) in recorded(), what="the key is on record")
    running.keys.revoke(name)
    eventually(lambda: (*key, "virtual key removed", 0) in recorded(), what="its end is on record")
    written = b"".join(path.read_bytes() for path in (harness.config.data_dir / "journal" / "watch").iterdir())
    assert not any(word.encode() in written for word in (MAIL, OTHER, narrow, running.key))


def test_what_was_masked_is_journaled_also_when_the_call_went_nowhere(
    harness: Harness, gateways: StartGateway, provider: Provider
) -> None:
    running = gateways('[masking]\n[tools.away]\nurl = "http://127.0.0.1:9"\n')
    statuses = [call(running, "POST", "/tools/away/1", body={"to": "nobody"}).status for _ in range(3)]
    statuses.append(call(running, "POST", "/tools/away/1", body={"to": MAIL}).status)
    assert statuses == [502, 502, 502, 503], "the last one met an open circuit"

    def masked() -> bool:
        found = harness.journal("allow")
        return any(e["reason"].startswith("mask EMAIL") and e["actor"] == "masking" for e in found)

    eventually(masked, what="the masked value is on record")
