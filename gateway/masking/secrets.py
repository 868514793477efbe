"""Secrets by their well-known formats, as their issuers document them.

A table, so that a new format is one line: issuer, texts of which one is in every such secret, regular expression (of
the ``regex`` library, whose lookbehind may vary in length). The last five are nobody's format: private keys, passwords
in URLs, bearer tokens, basic authorization, and what is assigned to a name like ``password`` or ``api_key``, has a
letter and a digit, and is no call or variable of a program.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import regex


@dataclass(frozen=True, slots=True)
class Format:
    """How secrets of one kind look."""

    issuer: str
    hints: tuple[str, ...]
    """One of these is in every such secret, or just before it; lower case where the expression ignores case."""
    expression: regex.Pattern[str]


def _format(issuer: str, hints: str, expression: str) -> Format:
    return Format(issuer, tuple(hints.split("|")), regex.compile(expression, regex.DOTALL))


_AWS: Final = "AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA"
_PEM: Final = r"PRIVATE KEY(?: BLOCK)?-----"
ASSIGNED: Final = ("key", "secret", "token", "pass", "pwd", "kennwort")
"""Hints of what is assigned; found in the lower-cased text."""

FORMATS: Final = (
    _format("AWS access key", _AWS, rf"\b(?:{_AWS})[A-Z0-9]{{16}}\b"),
    _format("AWS secret key", "aws|AWS", r"(?<=(?i:aws).{0,30}[\"'=:\s])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
    _format("GitHub", "ghp_|gho_|ghu_|ghs_|ghr_", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    _format("GitHub fine-grained", "github_pat_", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    _format("GitLab", "gl", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas)-[A-Za-z0-9_\-]{20,}"),
    _format("Slack", "xox|xapp-", r"\b(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    _format("Slack hook", "hooks.slack.com", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_]{20,}"),
    _format("OpenAI, Anthropic and alike", "sk-", r"\bsk-[A-Za-z0-9_\-]{20,}"),
    _format("Google", "AIza", r"\bAIza[0-9A-Za-z_\-]{35}"),
    _format("Google OAuth", "GOCSPX-|ya29.", r"\b(?:GOCSPX-[A-Za-z0-9_\-]{28}|ya29\.[A-Za-z0-9_\-]{20,})"),
    _format("Stripe", "k_live_|k_test_", r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
    _format("webhook", "whsec_", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    _format("Twilio", "SK|AC", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    _format("SendGrid", "SG.", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    _format("Mailgun", "key-", r"\bkey-[0-9a-f]{32}\b"),
    _format("npm", "npm_", r"\bnpm_[A-Za-z0-9]{36}\b"),
    _format("Python package index", "pypi-AgE", r"\bpypi-AgE[A-Za-z0-9_\-]{50,}"),
    _format("Hugging Face", "hf_|api_org_", r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),
    _format("DigitalOcean", "_v1_", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    _format("Shopify", "shp", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    _format("Telegram", ":AA", r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}"),
    _format("Discord", ".", r"\b[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}"),
    _format("Databricks", "dapi", r"\bdapi[a-f0-9]{32}\b"),
    _format("Vault", "hvs.|hvb.|hvr.", r"\bhv[sbr]\.[A-Za-z0-9_\-]{24,}"),
    _format("Linear", "lin_", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40}\b"),
    _format("Notion", "ntn_|secret_", r"\b(?:ntn_|secret_)[A-Za-z0-9]{40,}\b"),
    _format("Figma", "figd_|figu_|figr_", r"\bfig[dur]_[A-Za-z0-9_\-]{40,}"),
    _format("Grafana", "glsa_|glc_", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}"),
    _format("Postman", "PMAK-", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b"),
    _format("Docker", "dckr_", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_\-]{27,}"),
    _format("Atlassian", "ATATT3", r"\bATATT3[A-Za-z0-9_\-=]{50,}"),
    _format("New Relic", "NRAK-|NRAL-|NRII-|NRJS-|NRAA-", r"\bNR(?:AK|AL|II|JS|AA)-[A-Za-z0-9_\-]{19,}"),
    _format("Azure storage", "AccountKey=", r"(?<=AccountKey=)[A-Za-z0-9+/]{86}=="),
    _format("age", "AGE-SECRET-KEY-1", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    _format("JSON web token", "eyJ", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"),
    _format("private key", "PRIVATE KEY", rf"-----BEGIN [A-Z ]*{_PEM}.*?(?:-----END [A-Z ]*{_PEM}|\Z)"),
    _format("password in a URL", "://", r"(?<=\b[a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,80}:)[^\s@/]{3,}(?=@)"),
    _format("authorization", "earer ", r"(?<=\b[Bb]earer\s)[A-Za-z0-9_\-.~+/]{20,}=*"),
    _format(
        "basic authorization",
        "asic ",
        r"(?<=(?i:authorization)[\"']?\s{0,3}[:=]\s{0,3}[\"']?[Bb]asic\s)[A-Za-z0-9+/]{8,}={0,2}",
    ),
    _format(
        "assigned",
        "|".join(ASSIGNED),
        r"(?i)(?<=(?:(?:api|access)[_\- ]?key|secret(?:[_\-]?key)?|access[_\-]?token|auth[_\-]?token|passw(?:or)?[dt]"
        r"|[_\-]pass|mot de passe|kennwort|pwd)"
        r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?![$%][{(]|\{\{|[a-z_][\w.]{0,99}\([^\s\"',;<>]{0,99}\)(?![^\s\"',;<>]))"
        r"(?=[^\s\"',;<>]{0,99}[0-9])(?=[^\s\"',;<>]{0,99}[A-Za-z])[^\s\"',;<>]{8,}",
    ),
)

LITERALS: Final = tuple(
    sorted({hint for each in FORMATS[:-1] for hint in each.hints} - {"gl", "SK", "AC", ".", "aws", "AWS", "://"})
)
"""Hints that are rare enough to be looked for one by one."""

RARER: Final = regex.compile(
    r"\bgl[a-z]{2,5}-[A-Za-z0-9]|\b(?:SK|AC)[0-9a-f]{8}|\b[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_\-]{6}\.|[Aa][Ww][Ss]"
    r"|://[^\s/:@]{0,80}:[^\s@/]{3,200}@"
    r"|(?i:key|secret|token|passwd|password|passwort|pass|kennwort|pwd)[\"']?\s{0,3}[:=]"
)
"""The rest of them, with what makes them rare."""
