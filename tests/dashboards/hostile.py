"""Names, reasons and operations as an agent that means harm would choose them."""

CANARY = "https://evil.example"

HOSTILE = (
    "<script>window.pwned = 1</script>",
    "<img src=x onerror='window.pwned = 1'>",
    f"![x]({CANARY}/a.png)",
    f"[click me]({CANARY}/b)",
    f"{CANARY}/autolink",
    f"<{CANARY}/angle>",
    "# A heading",
    "**bold** _em_ ~~gone~~ `code`",
    ":material/home: :red[red] :smile: :red-badge[x]",
    "$x^2$ $$\\int$$",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "javascript:window.pwned=1",
    "</style><style>*{display:none}</style>",
    "--> <-- {{7*7}} ${7*7}",
    "=HYPERLINK(\"https://evil.example\")",
    "right\u202eto left\u2066 and\u200b zero\x00\x1b[31m",
    "- item\n- item\n\n> quote",
    "a.b:c[d]\\e\"f'g",
)  # fmt: skip
