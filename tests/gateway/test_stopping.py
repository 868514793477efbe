"""A tripped or killed agent is refused, and what it has under way ends."""

import asyncio
import itertools
import json
import threading
from collections.abc import Callable
from pathlib import Path

import openai
import pytest

from fusebox import names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.records import Action, ActionKind
from fusebox.rundir import announce
from gateway.denied import Denied
from gateway.flights import Flights, Seats
from gateway.keys import FILE, Keys
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Provider, Running, StartGateway, failing, hanging, streamed, whole
from tests.fixtures.watch import Harness
from tests.gateway.test_ledger import CHAT, ask, attributes
from tests.gateway.test_tools import call
from tests.need import PATIENCE_S

ASK = [{"role": "user", "content": "Is my ticket solved?"}]


@pytest.fixture
def governed(harness: Harness, gateways: StartGateway) -> Running:
    """A gateway on the data folder of a running watch."""
    return gateways()


def chatting(running: Running, heard: list[str]) -> Callable[[], None]:
    """A client that reads one stream to its end, or to its error."""

    def chat() -> None:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
        try:
            for chunk in client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True):  # type: ignore[arg-type]
                heard.append(chunk.choices[0].delta.content or "")
        except openai.APIError as error:
            heard.append(f"error: {error}")

    return chat


def test_a_kill_reaches_the_gateway_cuts_its_streams_and_is_acknowledged(
    governed: Running, harness: Harness, provider: Provider
) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=3, then=hanging)]
    heard: list[str] = []
    client = threading.Thread(target=chatting(governed, heard))
    client.start()
    eventually(lambda: "".join(heard) == "Your ticket", what="the beginning of the stream")
    killed = harness.operator().kill("agent:ticket-helper", "a loop")
    client.join(10)
    assert heard[-1].startswith("error: ticket-helper is stopped: killed")
    assert provider.left.wait(5)
    status, body, _ = ask(governed, "/v1/chat/completions", CHAT)
    assert status == 403
    error = json.loads(body)["error"]
    assert (error["code"], error["guard"]) == ("agent_tripped", "latch")
    assert error["incident"].startswith("http://127.0.0.1:")
    eventually(lambda: harness.operator().receipts(killed["command"])["complete"], what="a Receipt of the gateway")
    assert governed.runtime.link.process in killed["expected"]
    (span,) = governed.span()
    assert attributes(span)[names.CUT] is True


def test_a_refusal_leads_to_the_tile_of_the_agent_on_the_dashboard(governed: Running, harness: Harness) -> None:
    announce(harness.config.data_dir, "dashboard", url="http://127.0.0.1:1", page="https://fusebox.example.com")
    harness.operator().kill("agent:ticket-helper", "a loop")
    eventually(lambda: ask(governed, "/v1/chat/completions", CHAT)[0] == 403, what="a refusal")
    error = json.loads(ask(governed, "/v1/chat/completions", CHAT)[1])["error"]
    assert error["incident"] == "https://fusebox.example.com/board?find=ticket-helper"


def test_a_resume_lets_the_agent_on(governed: Running, harness: Harness, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    harness.operator().kill("agent:ticket-helper", "a loop")
    eventually(lambda: ask(governed, "/v1/chat/completions", CHAT)[0] == 403, what="a refusal")
    harness.operator().resume("agent:ticket-helper", "it was none")
    eventually(lambda: ask(governed, "/v1/chat/completions", CHAT)[0] == 200, what="an answer")


def test_a_killed_workflow_stops_only_what_belongs_to_it(
    governed: Running, harness: Harness, provider: Provider
) -> None:
    provider.answers = [whole("openai_chat.json")]
    harness.operator().kill("workflow:wf_1", "a loop")
    mine = {names.HTTP_WORKFLOW: "wf_1"}
    eventually(lambda: ask(governed, "/v1/chat/completions", CHAT, mine)[0] == 403, what="a refusal")
    assert ask(governed, "/v1/chat/completions", CHAT, {names.HTTP_WORKFLOW: "wf_2"})[0] == 200


MESSAGE = {"model": "claude", "max_tokens": 5, "messages": ASK}
EVERYWHERE = [
    ("GET", "/v1/models", None), ("GET", "/v1/models/claude", None), ("POST", "/v1/chat/completions", CHAT),
    ("POST", "/v1/responses", {"model": "gpt-5-mini", "input": "?"}), ("POST", "/v1/messages", MESSAGE),
    ("POST", "/v1/embeddings", {"model": "gpt-5-mini", "input": "?"}), ("POST", "/v1/messages/count_tokens", MESSAGE),
    ("GET", "/tools/tickets/1", None), ("POST", "/openai/chat/completions", CHAT), ("GET", "/files/v1/files/7", None),
]  # fmt: skip


@pytest.mark.parametrize("killed", [True, False], ids=["killed", "tripped"])
def test_a_stopped_agent_is_refused_everywhere(gateways: StartGateway, provider: Provider, killed: bool) -> None:
    files = f'kind = "openai"\nurl = "{provider.url}"\nkey_env = "TEST_OPENAI_KEY"\npassthrough = ["GET"]\n'
    running = gateways(f"[providers.files]\n{files}")
    assert call(running, "GET", "/v1/models").status == 200
    if killed:
        running.runtime.latch.kill("k1", "agent:ticket-helper", reason="cut")
    else:
        running.runtime.circuits.trip("ticket-helper", reason="a loop", actor="operator:jo")
    refused = [call(running, method, path, body=body) for method, path, body in EVERYWHERE]
    assert {(each.status, json.loads(each.read())["error"]["code"]) for each in refused} == {(403, "agent_tripped")}
    assert provider.seen == []


def test_a_tripped_agent_is_refused(running: Running, provider: Provider) -> None:
    running.runtime.circuits.trip("ticket-helper", reason="5 times the same", actor="detector:repetition", open_s=60)
    status, body, headers = ask(running, "/v1/chat/completions", CHAT)
    assert (status, json.loads(body)["error"]["code"]) == (403, "agent_tripped")
    assert 0 < int(headers["retry-after"]) <= 60
    assert provider.seen == []


def test_a_tripped_agents_stream_ends(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=3, then=hanging)]
    heard: list[str] = []
    client = threading.Thread(target=chatting(running, heard))
    client.start()
    eventually(lambda: "".join(heard) == "Your ticket", what="the beginning of the stream")
    running.runtime.circuits.trip("ticket-helper", reason="5 times the same", actor="detector:repetition")
    client.join(10)
    assert "error: ticket-helper is stopped: circuit is open: 5 times the same" in heard[-1]


def test_when_its_open_time_is_over_one_call_probes_and_closes_the_circuit(
    running: Running, provider: Provider
) -> None:
    provider.answers = [whole("openai_chat.json")]
    circuits = running.runtime.circuits
    circuits.trip("ticket-helper", reason="test", actor="operator:jo", open_s=0.3)
    eventually(lambda: circuits.due("ticket-helper"), what="the end of the open time")
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200
    eventually(lambda: str(circuits.circuit("ticket-helper").state) == "closed", what="the end of the probe")


def test_an_upstream_that_fails_the_probe_says_nothing_about_the_agent(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500)]
    circuits = running.runtime.circuits
    circuits.trip("ticket-helper", reason="test", actor="operator:jo", open_s=0.3)
    eventually(lambda: circuits.due("ticket-helper"), what="the end of the open time")
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 500
    assert str(circuits.circuit("ticket-helper").state) == "half_open"
    provider.answers = [whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200


def test_a_loop_through_the_gateway_trips_the_agent(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]

    def refused() -> bool:
        return ask(running, "/v1/chat/completions", CHAT)[0] == 403

    eventually(refused, what="the circuit opens")
    assert len(provider.seen) < 30


def test_without_watch_an_unverified_agent_waits(
    watch_config: Config, gateways: StartGateway, provider: Provider, tmp_path: Path
) -> None:
    watch = Harness(watch_config, SystemClock())
    watch.start()
    running = gateways()
    watch.close()
    _, key = running.keys.add("stranger", team="", models=("*",), tools=())
    status, body, headers = ask(running, "/v1/chat/completions", CHAT, key=key)
    assert (status, json.loads(body)["error"]["code"]) == (503, "agent_unverified")
    assert headers["retry-after"] == "1"


def test_a_client_that_leaves_takes_the_upstreams_call_with_it(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=3, then=hanging)]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    stream = client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True)  # type: ignore[arg-type]
    next(iter(stream))
    stream.close()
    client.close()
    assert provider.left.wait(5)
    (span,) = running.span()
    assert attributes(span)[names.CUT] is True
    assert attributes(span)[names.ESTIMATED] is True


def test_an_agent_whose_first_client_left_while_it_waited_is_stopped_all_the_same(running: Running) -> None:
    runtime, free = running.runtime, threading.Event()
    flights = Flights(runtime, lambda _: "here")
    seats = Seats(runtime, flights, lambda: ())

    async def fly() -> None:
        waiting = [asyncio.ensure_future(seats._asking.answer(lambda: free.wait(30))) for _ in range(64)]
        first = asyncio.ensure_future(seats.take("newcomer"))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        free.set()
        await asyncio.gather(*waiting)
        await asyncio.to_thread(lambda: eventually(lambda: "newcomer" in runtime._members, what="its seat"))
        with flights.flying(Action(ActionKind.MODEL_CALL, "newcomer", "gpt-5-mini")):
            runtime.circuits.trip("newcomer", reason="a loop", actor="a test")
            await asyncio.sleep(30)

    with pytest.raises(Denied, match="a loop"):
        asyncio.run(fly())


def test_agents_whose_keys_were_revoked_are_let_go_but_not_in_the_middle_of_a_call(
    running: Running, provider: Provider
) -> None:
    """Else a gateway would speak for ever more agents, until watch refuses to hear it for so many."""
    numbers = itertools.count()

    def job() -> bool:
        """An agent that lives for one call; true once only those are left that have a key, or a call under way."""
        key_id, key = running.keys.add(f"job-{next(numbers)}", team="", models=("*",), tools=())
        assert ask(running, "/v1/chat/completions", CHAT, key=key)[0] == 200
        running.keys.revoke(key_id)
        return "job-0" not in running.runtime._members

    provider.answers = [streamed("openai_chat.sse", parts=3, then=hanging), whole("openai_chat.json")]
    heard: list[str] = []
    client = threading.Thread(target=chatting(running, heard), daemon=True)
    client.start()
    eventually(lambda: heard, what="the beginning of the stream")
    running.keys.revoke(next(iter(running.keys.entries())))
    eventually(job, what="the first of them is let go")
    assert "ticket-helper" in running.runtime._members
    running.runtime.circuits.trip("ticket-helper", reason="a loop", actor="a test")
    client.join(PATIENCE_S)
    eventually(lambda: job() and "ticket-helper" not in running.runtime._members, what="its last call is over")


def test_a_call_under_way_goes_on_when_its_key_is_revoked(running: Running, provider: Provider) -> None:
    revoked = threading.Event()

    async def waits() -> None:
        await asyncio.to_thread(revoked.wait, 30)

    provider.answers = [streamed("openai_chat.sse", parts=3, then=waits)]
    heard: list[str] = []
    client = threading.Thread(target=chatting(running, heard))
    client.start()
    eventually(lambda: "".join(heard) == "Your ticket", what="the beginning of the stream")
    running.keys.revoke(next(iter(running.keys.entries())))
    eventually(lambda: call(running, "GET", "/v1/models").status == 401, what="the key is worth nothing")
    revoked.set()
    client.join(10)
    assert "".join(heard) == "Your ticket is being looked at."


def test_keys_rotate(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    old = next(iter(running.keys.entries()))
    _, fresh = running.keys.add("ticket-helper", team="support", models=("*",), tools=())
    assert ask(running, "/v1/chat/completions", CHAT, key=fresh)[0] == 200
    running.keys.revoke(old)
    eventually(lambda: call(running, "GET", "/v1/models").status == 401, what="the old key is worth nothing")
    assert ask(running, "/v1/chat/completions", CHAT, key=fresh)[0] == 200
    assert fresh not in (running.runtime.config.data_dir / FILE).read_text()
    assert Keys(running.runtime.config.data_dir / FILE, "default").agents() == ("ticket-helper",)
