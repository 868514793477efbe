"""AWS's and Google's own clients, which reach their providers through the gateway as systems."""

import json
from collections.abc import Iterator
from typing import Any

import botocore.session
import pytest
from aiohttp import web
from botocore.exceptions import ClientError

from tests.fixtures.gateway import Provider, Running, StartGateway
from tests.gateway.test_tools import call, stored

SYSTEMS = """
[providers.aws]
kind = "bedrock"
region = "eu-central-1"
url = "{url}"
passthrough = ["POST"]
[tools.gemini]
url = "{url}/v1beta"
key_env = "TEST_TICKETS_KEY"
header = "x-goog-api-key"
scheme = ""
"""
ASKED: Any = {"modelId": "amazon.nova-lite-v1:0", "messages": [{"role": "user", "content": [{"text": "hi"}]}]}


@pytest.fixture
def clouds(gateways: StartGateway, provider: Provider) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "AKIDGATEWAY")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "of the gateway")
        yield gateways(SYSTEMS.format(url=provider.url))


def converse(running: Running, key: str) -> Any:
    """Ask with AWS's client, which signs with a credential of its own and sends a key beside."""
    client = botocore.session.Session().create_client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=f"{running.url}/aws",
        aws_access_key_id="AKIDCLIENT", aws_secret_access_key="of the client",
    )  # fmt: skip
    client.meta.events.register("before-sign", lambda request, **_: request.headers.add_header("x-api-key", key))
    return client.converse(**ASKED)


async def conversed(request: web.Request) -> web.StreamResponse:
    message = {"role": "assistant", "content": [{"text": "Hello."}]}
    usage = {"inputTokens": 4, "outputTokens": 2, "totalTokens": 6}
    told = {"output": {"message": message}, "stopReason": "end_turn", "usage": usage, "metrics": {"latencyMs": 5}}
    return web.json_response(told)


def test_the_signature_of_awss_client_stays_here(clouds: Running, provider: Provider) -> None:
    provider.answers = [conversed]
    assert converse(clouds, clouds.key)["output"]["message"]["content"] == [{"text": "Hello."}]
    (seen,) = provider.seen
    assert "Credential=AKIDGATEWAY/" in seen.headers["Authorization"]
    assert "AKIDCLIENT" not in json.dumps(seen.headers)
    assert clouds.key not in json.dumps(seen.headers)


def test_awss_client_says_why_it_is_refused(clouds: Running, provider: Provider) -> None:
    with pytest.raises(ClientError, match="no valid virtual key") as unknown:
        converse(clouds, "")
    assert unknown.value.response["Error"]["Code"] == "invalid_api_key", "a signature lets nobody in"
    clouds.runtime.latch.kill("k1", "agent:ticket-helper", reason="by hand")
    with pytest.raises(ClientError, match="ticket-helper is stopped") as killed:
        converse(clouds, clouds.key)
    assert killed.value.response["Error"]["Code"] == "agent_tripped"
    assert provider.seen == []


def test_googles_client_needs_its_key_alone(clouds: Running, provider: Provider) -> None:
    provider.answers = [stored]
    path, told = "/tools/gemini/models/gemini-2.5-flash:generateContent", {"contents": []}
    assert call(clouds, "POST", path, body=told, authorization="", x_goog_api_key=clouds.key).status == 201
    assert provider.seen[0].path == "/v1beta/models/gemini-2.5-flash:generateContent"
    assert provider.seen[0].headers["x-goog-api-key"] == "tickets-secret"
    assert call(clouds, "POST", path, body=told, authorization="", x_goog_api_key="guessed").status == 401
