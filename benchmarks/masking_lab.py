"""How well and how fast masking works: texts with values whose places are known.

Two splits that share no template, no seed and no locale but English: ``tuning`` is what the recognisers were tried on
while they were written, ``untouched`` is measured only. Values come from Faker's providers and, where those make values
that cannot exist (phone numbers) or none at all (keys), from the makers below. Half of every text is what only looks
like a value: order numbers, dates, times, versions, hashes, prices.

A value counts as found when one span of its type covers all of it; a span that is no value, or of another type, is a
false one.
"""

from __future__ import annotations

import argparse
import base64
import random
import statistics
import string
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import phonenumbers
from faker import Faker

from gateway.masking import MaskingSettings
from gateway.masking.masker import Masker
from gateway.masking.spans import Span

KEY: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Split:
    """One half of the data."""

    name: str
    seed: int
    locales: tuple[str, ...]
    regions: tuple[str, ...]
    templates: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Value:
    """A value in a text."""

    type: str
    start: int
    end: int


@dataclass(slots=True)
class Quality:
    """What was found, by type."""

    wanted: Counter[str] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    false: Counter[str] = field(default_factory=Counter)

    @property
    def recall(self) -> float:
        """Of the values that are there, the share that was found."""
        return self.found.total() / self.wanted.total()

    @property
    def precision(self) -> float:
        """Of what was reported, the share that is a value."""
        return self.found.total() / (self.found.total() + self.false.total())

    def worst(self) -> tuple[str, float]:
        """The type with the lowest recall."""
        return min(((type_, self.found[type_] / n) for type_, n in self.wanted.items()), key=lambda pair: pair[1])


TUNING: Final = Split(
    "tuning",
    7,
    ("en_US", "de_DE"),
    ("US", "DE"),
    (
        "Please contact me at {EMAIL} or {PHONE}.",
        "My card {CARD} was charged twice for order {order} on {date}.",
        "SSN: {SSN}. Please update the file before {time}.",
        "Transfer the amount of {price} to {IBAN} until {date}.",
        "The server {IP} runs version {version} since {date}; build {hash}.",
        "export API_KEY={SECRET}",
        "Ticket {order}: customer <{EMAIL}> called from {PHONE} about parcel {tracking}.",
        '{{"card": "{CARD}", "total": {price}, "id": "{uuid}"}}',
    ),
)
UNTOUCHED: Final = Split(
    "untouched",
    4242,
    ("en_GB", "fr_FR", "it_IT", "es_ES"),
    ("GB", "FR"),
    (
        "Hello, this is about invoice {order}. You can reach my wife under {PHONE}, or write to {EMAIL}; thanks!",
        "payment failed (card={CARD}, amount={price}, ref={uuid})",
        "The applicant's social security number is {SSN}, born {date}.",
        "IBAN {IBAN}, due {date}, reference {tracking}",
        "[{date} {time}] connection from {IP} refused, 3 retries, checksum {hash}",
        "Use the token {SECRET} for the staging system, it expires on {date}.",
        "From: {EMAIL}\nTo: {EMAIL}\nSubject: parcel {tracking}\n\nCall {PHONE} when it is {time}.",
        "| {order} | {CARD} | {IBAN} | {price} |",
        "firmware {version} on {IP}; serial {tracking}; last seen {date} {time}",
        "config: password is kept elsewhere, key={SECRET}\nhost={IP}\nowner={EMAIL}",
        "Between {date} and {date} we sold {order} units at {price}, {version} of the report has the details.",
        "He gave two numbers: {PHONE} and {PHONE}. Card on file: {CARD}.",
    ),
)


def quality(split: Split = UNTOUCHED, texts: int = 600) -> Quality:
    """Recall and precision on one split."""
    maker, masker = _Maker(split), Masker(MaskingSettings(), KEY)
    result = Quality()
    for number in range(texts):
        text, values = maker.text(split.templates[number % len(split.templates)])
        _score(masker.spans(text), values, result)
    return result


def masking_ms(rounds: int = 200) -> float:
    """Median milliseconds that masking adds to a prompt of 2 KB with one value of each type in it."""
    maker, masker = _Maker(UNTOUCHED), Masker(MaskingSettings(), KEY)
    types = ("EMAIL", "PHONE", "CARD", "IBAN", "SSN", "IP", "SECRET")
    values = "; ".join(f"{type_.lower()} {maker.value(type_)}" for type_ in types)
    filler = " ".join(maker.fake.sentence(12) for _ in range(60))
    prompt = (filler[:900] + " " + values + " " + filler)[:2048]
    times = []
    for _ in range(rounds + 10):
        started = time.perf_counter()
        masker.session("/v1/chat/completions", workflow="w").mask({"messages": [{"role": "user", "content": prompt}]})
        times.append(time.perf_counter() - started)
    return statistics.median(times[10:]) * 1000


def _score(spans: list[Span], values: list[Value], result: Quality) -> None:
    left = list(spans)
    for value in values:
        result.wanted[value.type] += 1
        for span in left:
            if span.type == value.type and span.start <= value.start and span.end >= value.end:
                result.found[value.type] += 1
                left.remove(span)
                break
    result.false.update(span.type for span in left)


class _Maker:
    """Fills templates."""

    def __init__(self, split: Split) -> None:
        self.fake = Faker(list(split.locales))
        self.fake.seed_instance(split.seed)
        self._us = Faker("en_US")
        self._us.seed_instance(split.seed)
        self._chance, self._regions = random.Random(split.seed), split.regions

    def text(self, template: str) -> tuple[str, list[Value]]:
        """A text, and the values in it."""
        text, values = "", list[Value]()
        for literal, name, _, _ in string.Formatter().parse(
            f"{self.fake.sentence(8)} {template} {self.fake.sentence(6)}"
        ):
            text += literal
            if name:
                made = self.value(name)
                if name.isupper():
                    values.append(Value(name, len(text), len(text) + len(made)))
                text += made
        return text, values

    def value(self, name: str) -> str:
        """One value of a type, or one thing that only looks like a value."""
        makers: dict[str, Callable[[], str]] = {
            "EMAIL": self._email,
            "PHONE": self._phone,
            "CARD": self._card,
            "IBAN": self._iban,
            "SSN": self._us.ssn,
            "IP": lambda: self.fake.ipv6() if self._chance.random() < 0.25 else self.fake.ipv4(),
            "SECRET": self._secret,
            "order": lambda: self._chance.choice(["#{}", "{}", "A-{}"]).format(self._chance.randrange(10**4, 10**8)),
            "date": lambda: self.fake.date(self._chance.choice(["%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y", "%d %B %Y"])),
            "time": lambda: self.fake.time(self._chance.choice(["%H:%M", "%H:%M:%S"])),
            "version": lambda: ".".join(str(self._chance.randrange(30)) for _ in range(3)),
            "hash": lambda: self.fake.sha1()[: self._chance.choice([7, 12, 40])],
            "price": lambda: f"{self._chance.randrange(1, 5000)}.{self._chance.randrange(100):02d}",
            "tracking": lambda: self._chance.choice(["1Z", "RR", "JD"]) + self._some(string.digits, 13) + "X",
            "uuid": self.fake.uuid4,
        }
        return str(makers[name]())

    def _some(self, letters: str, count: int) -> str:
        return "".join(self._chance.choice(letters) for _ in range(count))

    def _email(self) -> str:
        return str(self._chance.choice([self.fake.email, self.fake.free_email, self.fake.company_email])())

    def _phone(self) -> str:
        region = self._chance.choice(self._regions)
        while True:
            example = phonenumbers.example_number_for_type(region, self._chance.choice([0, 1, 2]))
            digits = str(example.national_number)
            made = phonenumbers.parse(digits[:-5] + self._some(string.digits, 5), region)
            if phonenumbers.is_valid_number(made):
                return phonenumbers.format_number(made, self._chance.choice([0, 1, 1, 2, 2]))

    def _card(self) -> str:
        kind = self._chance.choice(["visa", "mastercard", "amex", "discover"])
        digits = self._us.credit_card_number(card_type=kind)
        if kind != "amex" and self._chance.random() < 0.5:
            return self._chance.choice([" ", "-"]).join(digits[i : i + 4] for i in range(0, 16, 4))
        return digits

    def _iban(self) -> str:
        iban = self.fake.iban()
        return " ".join(iban[i : i + 4] for i in range(0, len(iban), 4)) if self._chance.random() < 0.5 else iban

    def _secret(self) -> str:
        word = string.ascii_letters + string.digits
        return self._chance.choice(
            [
                lambda: "AKIA" + self._some(string.ascii_uppercase + string.digits, 16),
                lambda: "ghp_" + self._some(word, 36),
                lambda: "github_pat_" + self._some(word, 22) + "_" + self._some(word, 59),
                lambda: "glpat-" + self._some(word, 20),
                lambda: "xoxb-" + self._some(string.digits, 12) + "-" + self._some(word, 24),
                lambda: "sk-proj-" + self._some(word, 48),
                lambda: "sk-ant-api03-" + self._some(word + "-_", 90) + "AA",
                lambda: "AIza" + self._some(word, 35),
                lambda: "sk_live_" + self._some(word, 24),
                lambda: "SG." + self._some(word, 22) + "." + self._some(word, 43),
                lambda: "npm_" + self._some(word, 36),
                lambda: "hf_" + self._some(string.ascii_letters, 34),
                lambda: "dop_v1_" + self._some("0123456789abcdef", 64),
                self._token,
            ]
        )()

    def _token(self) -> str:
        """A JSON web token."""
        parts = (
            f'{{"alg":"HS256","kid":"{self._some(string.digits, 8)}"}}',
            f'{{"sub":"{self._some(string.digits, 10)}"}}',
        )
        head, body = (base64.urlsafe_b64encode(part.encode()).decode().rstrip("=") for part in parts)
        return f"{head}.{body}.{self._some(string.ascii_letters + string.digits + '-_', 43)}"


def main() -> None:
    """Print both splits, type by type."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=2000)
    args = parser.parse_args()
    for split in (TUNING, UNTOUCHED):
        result = quality(split, args.texts)
        print(f"{split.name}: recall {result.recall:.4f} precision {result.precision:.4f}")
        for type_, wanted in sorted(result.wanted.items()):
            print(f"  {type_}: {result.found[type_]} of {wanted}, {result.false[type_]} false")
    print(f"2 KB: {masking_ms():.2f} ms")


if __name__ == "__main__":
    main()
