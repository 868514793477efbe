"""The HTML of the confirmation pages. They hold no script, are stored nowhere and framed by nobody."""

from __future__ import annotations

import re
from html import escape
from typing import Final

from starlette.responses import HTMLResponse, Response

HEADERS: Final = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_QUOTED: Final = re.compile(r"&quot;(?:\\.|(?!&quot;)[^\\])*&quot;")
_STYLE: Final = (
    "body{font:1.1rem/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem;color-scheme:light dark}"
    "h1{overflow-wrap:anywhere}"
    "label{display:block;margin:1rem 0 .3rem}input{font:inherit;width:100%;box-sizing:border-box;padding:.4rem}"
    "button{font:inherit;margin:1rem 1rem 0 0;padding:.5rem 1.5rem}"
    "code{overflow-wrap:anywhere;white-space:pre-wrap;unicode-bidi:isolate}"
    "pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid;padding:.6rem;font-size:.9rem}"
)


def page(title: str, body: str, status: int = 200) -> Response:
    """A whole page; ``title`` is text, ``body`` is HTML."""
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style><h1>{escape(title)}</h1>{body}</html>",
        status,
        headers=HEADERS,
    )


def said(complaint: str) -> str:
    """What went wrong, if anything did."""
    return f"<p role=alert><strong>{escape(complaint)}</strong></p>" if complaint else ""


def shown(text: str) -> str:
    """Text of others. What is written from right to left stays in its quotes, and moves nothing beside them."""
    return _QUOTED.sub(r"<bdi dir=ltr>\g<0></bdi>", escape(text))


def hidden(name: str, value: str) -> str:
    """A field that nobody sees."""
    return f'<input type=hidden name="{name}" value="{escape(value)}">'
