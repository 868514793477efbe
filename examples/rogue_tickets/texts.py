"""What customers write and what the models say, varied by the seed.

A plain question gets one helpful answer. A vague complaint cannot be answered from the ticket alone, so the model does
what models do: it makes something up, politely, and ends with a question. Asked again, it says the same thing in other
words, with other numbers, names and times.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from examples.model_server import ChatMessage, Script, dice

HELPER_MODEL: Final = "gpt-5-mini"
LABEL_MODEL: Final = "gpt-5-nano"
ANSWERED: Final = "answered"
_OPEN_LABELS: Final = ("needs-reply", "waiting-on-support", "follow-up")

PLAIN: Final[Sequence[tuple[str, str, str]]] = (
    ("Change of billing address", "We moved. Where do I change the address on our invoices?",
     "You can change it under Settings → Billing → Company details; the next invoice carries the new address."),
    ("Export of all projects", "Our auditor wants everything as CSV. Is there an export?",
     "Yes: Projects → Export → CSV. You get a link by e-mail, valid for a week."),
    ("Adding a colleague", "How do I give a new colleague read access?",
     "Invite them under Team → Invite and choose the role Viewer; they get an e-mail at once."),
    ("Invoice for March", "I cannot find the invoice for March.",
     "It is under Settings → Billing → Invoices; I have sent a copy to your billing address as well."),
    ("Two-factor login", "I have a new phone. How do I move the authenticator?",
     "Sign in with a recovery code, then scan the new code under Profile → Security."),
    ("Delete a workspace", "We created a test workspace by mistake and want it gone.",
     "An owner can delete it under Settings → Workspace → Delete; it can be restored for thirty days."),
)  # fmt: skip

VAGUE: Final[Sequence[tuple[str, str, str]]] = (
    ("Totals differ sometimes", "The monthly total is not always what we expect. Can you look into it?", "the totals"),
    ("Slow now and then", "Some mornings the dashboard feels slow. Not every day. Any idea?", "the dashboards"),
    ("Logged out again", "People get logged out once in a while, we see no pattern.", "the sessions"),
    ("Duplicate notifications", "Occasionally a notification seems to arrive twice.", "the notifications"),
    ("Import looks wrong", "The nightly import sometimes looks off, hard to say how.", "the imports"),
)

_OPENINGS: Final = (
    "Hi {name}, thanks for your patience.",
    "Hello {name}, thank you for following up.",
    "Hi {name}, thanks for reaching out.",
    "Hello {name}, thanks for the additional details.",
    "Hi {name}, I took another look at this.",
)
_FINDINGS: Final = (
    "I checked {thing} in our logs and found {count} irregular entries around {clock}.",
    "Looking at our logs, {thing} showed {count} irregular entries at about {clock}.",
    "Our logs for {thing} list {count} unusual entries, most of them close to {clock}.",
    "I went through the logs again: {count} irregular entries concern {thing}, the latest at {clock}.",
    "There are {count} entries about {thing} that look irregular, starting at {clock}.",
)
_CAUSES: Final = (
    "This is most likely caused by a cached configuration from version {version}.",
    "The most likely cause is a configuration that version {version} keeps in its cache.",
    "It looks like a cached configuration of version {version} is the reason.",
    "A stale configuration, cached by version {version}, probably causes this.",
)
_ADVICE: Final = (
    "{engineer} from our platform team suggests clearing the cache and signing in again.",
    "Please clear the cache and sign in again, as {engineer} from our platform team suggests.",
    "According to {engineer} on the platform team, clearing the cache and a new sign-in should help.",
    "{engineer} of the platform team recommends that you clear the cache and then sign in again.",
)
_QUESTIONS: Final = (
    "Could you confirm whether {thing} look right now?", "Could you let us know if {thing} look right after that?",
    "Can you tell us whether {thing} still look wrong?", "Would you confirm that {thing} are fine now?",
)  # fmt: skip
_NAMES: Final = ("Maria", "Jonas", "Priya", "Tom", "Aiko", "Lena", "Samir", "Olga", "Ben", "Chloé")


def vague_ticket(seed: int) -> tuple[str, str, str]:
    """Title, text and customer of the ticket that starts the incident."""
    chance = dice(seed, "vague")
    title, body, _ = chance.choice(VAGUE)
    return title, body, chance.choice(_NAMES)


def plain_tickets(seed: int, count: int) -> list[tuple[str, str, str]]:
    """Title, text and customer of some ordinary tickets."""
    chance = dice(seed, "plain", count)
    return [(title, body, chance.choice(_NAMES)) for title, body, _ in chance.sample(PLAIN, count)]


def answer(messages: Sequence[ChatMessage], _model: str, seed: int) -> str:
    """The ticket helper's model."""
    prompt = str(messages[-1]["content"])
    chance = dice(seed, [dict(m) for m in messages])
    for title, _, reply in PLAIN:
        if title in prompt:
            return f"{chance.choice(_OPENINGS).format(name=_customer(prompt))} {reply}"
    thing = next((thing for title, _, thing in VAGUE if title in prompt), "the details")
    return _invent(chance, thing, _customer(prompt))


def judge(messages: Sequence[ChatMessage], _model: str, seed: int) -> str:
    """The label bot's model: a comment with a question leaves the ticket open."""
    comment = str(messages[-1]["content"])
    return dice(seed, comment).choice(_OPEN_LABELS) if "?" in comment else ANSWERED


SCRIPTS: Final[Mapping[str, Script]] = {HELPER_MODEL: answer, LABEL_MODEL: judge}


def _invent(chance: random.Random, thing: str, name: str) -> str:
    frame = " ".join(chance.choice(part) for part in (_OPENINGS, _FINDINGS, _CAUSES, _ADVICE, _QUESTIONS))
    return frame.format(
        thing=thing,
        name=name,
        count=chance.randint(3, 480),
        clock=f"{chance.randint(0, 23)}:{chance.randint(0, 59):02}",
        version=f"{chance.randint(2, 9)}.{chance.randint(0, 20)}.{chance.randint(0, 9)}",
        engineer=chance.choice(_NAMES),
    )


def _customer(prompt: str) -> str:
    return next((name for name in _NAMES if f"from {name}" in prompt), "there")
