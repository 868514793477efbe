"""Secrets by their well-known formats, as their issuers document them.

A table, so that a new format is one line: (issuer, regular expression). Two entries are not of an issuer: a password in
a URL, and what is assigned to a name like ``password`` or ``api_key`` and has a letter and a digit.
"""

from __future__ import annotations

from typing import Final

FORMATS: Final[tuple[tuple[str, str], ...]] = (
    ("AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA)[A-Z0-9]{16}\b"),
    ("AWS secret key", r"(?<=aws.{0,30}[\"'=:\s])[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+=])"),
    ("GitHub", r"\bgh[pousr]_[A-Za-z0-9]{36,255}\b"),
    ("GitHub fine-grained", r"\bgithub_pat_[A-Za-z0-9_]{22,255}\b"),
    ("GitLab", r"\bgl(?:pat|dt|rt|cbt|ptt|ft|imt|agent|oas)-[A-Za-z0-9_\-]{20,}"),
    ("Slack", r"\b(?:xox[abceoprs]|xapp)-[A-Za-z0-9-]{10,}"),
    ("Slack hook", r"hooks\.slack\.com/(?:services|workflows)/[A-Za-z0-9/_]{20,}"),
    ("OpenAI, Anthropic and alike", r"\bsk-[A-Za-z0-9_\-]{20,}"),
    ("Google", r"\bAIza[0-9A-Za-z_\-]{35}"),
    ("Google OAuth", r"\b(?:GOCSPX-[A-Za-z0-9_\-]{28}|ya29\.[A-Za-z0-9_\-]{20,})"),
    ("Stripe", r"\b[rsp]k_(?:live|test)_[A-Za-z0-9]{16,}\b"),
    ("webhook", r"\bwhsec_[A-Za-z0-9+/=]{24,}"),
    ("Twilio", r"\b(?:SK|AC)[0-9a-f]{32}\b"),
    ("SendGrid", r"\bSG\.[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}"),
    ("Mailgun", r"\bkey-[0-9a-f]{32}\b"),
    ("npm", r"\bnpm_[A-Za-z0-9]{36}\b"),
    ("Python package index", r"\bpypi-AgE[A-Za-z0-9_\-]{50,}"),
    ("Hugging Face", r"\b(?:hf|api_org)_[A-Za-z]{34}\b"),
    ("DigitalOcean", r"\bdo[opr]_v1_[a-f0-9]{64}\b"),
    ("Shopify", r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b"),
    ("Telegram", r"\b[0-9]{8,10}:AA[A-Za-z0-9_\-]{33}"),
    ("Discord", r"\b[MNO][A-Za-z0-9]{23,25}\.[A-Za-z0-9_\-]{6}\.[A-Za-z0-9_\-]{27,}"),
    ("Databricks", r"\bdapi[a-f0-9]{32}\b"),
    ("Vault", r"\bhv[sbr]\.[A-Za-z0-9_\-]{24,}"),
    ("Linear", r"\blin_(?:api|oauth)_[A-Za-z0-9]{40}\b"),
    ("Notion", r"\b(?:ntn_|secret_)[A-Za-z0-9]{40,}\b"),
    ("Figma", r"\bfig[dur]_[A-Za-z0-9_\-]{40,}"),
    ("Grafana", r"\bgl(?:sa|c)_[A-Za-z0-9+/=_]{32,}"),
    ("Postman", r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b"),
    ("Docker", r"\bdckr_(?:pat|oat)_[A-Za-z0-9_\-]{27,}"),
    ("Atlassian", r"\bATATT3[A-Za-z0-9_\-=]{50,}"),
    ("New Relic", r"\bNR(?:AK|AL|II|JS|AA)-[A-Za-z0-9_\-]{19,}"),
    ("Azure storage", r"(?<=AccountKey=)[A-Za-z0-9+/]{86}=="),
    ("age", r"\bAGE-SECRET-KEY-1[A-Z0-9]{58}\b"),
    ("JSON web token", r"\beyJ[A-Za-z0-9_\-]{8,}\.eyJ[A-Za-z0-9_\-]{8,}\.[A-Za-z0-9_\-]{8,}"),
    (
        "private key",
        r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    ),
    ("password in a URL", r"(?<=\b[a-z][a-z0-9+.\-]{1,20}://[^\s:/@]{0,80}:)[^\s@/]{3,}(?=@)"),
    ("authorization", r"(?<=\bBearer\s)[A-Za-z0-9_\-.~+/]{20,}=*"),
    (
        "assigned",
        r"(?i)(?<=(?:api[_\-]?key|secret(?:[_\-]?key)?|access[_\-]?token|auth[_\-]?token|passw(?:or)?d|pwd)"
        r"[\"']?\s{0,3}[:=]\s{0,3}[\"']?)(?=[^\s\"',;<>]*[0-9])(?=[^\s\"',;<>]*[A-Za-z])[^\s\"',;<>]{8,}",
    ),
)

HINT: Final = (
    r"(?:\bsk-|\b[rsp]k_|\bgh[pousr]_|github_pat_|\bgl[a-z]{2,5}[-_]|\bxox|\bxapp-|hooks\.slack|\bAIza|GOCSPX-|ya29\."
    r"|\b(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AROA|ANPA|ANVA)|aws|AWS|\bwhsec_|\b(?:SK|AC)[0-9a-f]{8}|\bSG\.|\bkey-|\bnpm_"
    r"|pypi-|\bhf_|api_org_|\bdo[opr]_v1|\bshp|:AA|\b[MNO][A-Za-z0-9]{23,25}\.|dapi|\bhv[sbr]\.|\blin_|ntn_|secret_"
    r"|\bfig[dur]_|PMAK-|dckr_|ATATT|\bNR[A-Z]{2}-|AccountKey|AGE-SECRET|\beyJ|-----BEGIN|://[^\s/]{0,80}:|Bearer\s"
    r"|(?i:key|secret|token|passw|pwd)[\"']?\s{0,3}[:=])"
)
"""Where one of them could begin; :mod:`gateway.masking.prefilter` looks for it first."""
