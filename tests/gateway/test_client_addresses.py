"""What clients send that is not served is refused with a sentence that names the fix."""

import gzip
import json
from http.client import HTTPConnection
from urllib.parse import urlsplit

import anthropic
import openai
import pytest

from tests.fixtures.gateway import Provider, Running, failing
from tests.gateway.test_clients import ASK
from tests.gateway.test_ledger import CHAT


@pytest.mark.parametrize("base", ["", "/v1/v1", "//v1"])
def test_a_base_address_that_is_not_quite_right(running: Running, base: str) -> None:
    client = openai.OpenAI(base_url=running.url + base, api_key=running.key, max_retries=0)
    with pytest.raises(openai.NotFoundError, match="but /v1/chat/completions is"):
        client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]


def test_anthropics_client_puts_the_version_in_itself(running: Running) -> None:
    claude = anthropic.Anthropic(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    with pytest.raises(anthropic.NotFoundError, match="but /v1/messages is"):
        claude.messages.create(model="claude", max_tokens=1, messages=ASK)  # type: ignore[arg-type]


def test_what_a_provider_has_beside_models_is_below_its_name(running: Running) -> None:
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    with pytest.raises(openai.NotFoundError, match="at /openai/v1/files it is the provider's, where 'passthrough'"):
        client.files.list()
    below = openai.OpenAI(base_url=f"{running.url}/openai/v1", api_key=running.key, max_retries=0)
    with pytest.raises(openai.NotFoundError, match="'passthrough' in its section allows others"):
        below.files.list()
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)
    with pytest.raises(anthropic.NotFoundError, match="at /anthropic/v1/messages/batches"):
        claude.messages.batches.list()


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/tools/tickets/1"])
def test_a_compressed_body_is_refused_as_that(running: Running, provider: Provider, path: str) -> None:
    provider.answers = [failing(500)]
    connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
    headers = {"x-api-key": running.key, "content-encoding": "gzip", "content-type": "text/plain"}
    connection.request("POST", path, gzip.compress(json.dumps(CHAT).encode()), headers)
    response = connection.getresponse()
    error = json.loads(response.read())["error"]
    assert (response.status, error["code"]) == (415, "unreadable_body")
    assert "send it without content-encoding" in error["message"]
    assert provider.seen == []
