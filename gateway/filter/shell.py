"""Ways out by shell: commands in arguments and answers that send, open, hide or wipe.

These are patterns of well-known commands. They see accidents and known tricks, not a determined author: a tool that
runs a shell belongs behind policy and approval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from gateway.filter.threats import Threat

_SECRET_FILES: Final = (
    r"(?:~|/root|/home/\w+|\$HOME)?/?\.(?:ssh/|aws/credentials|netrc|pgpass|kube/config|docker/config|npmrc|git-credentials)"
    r"|/etc/(?:passwd|shadow|sudoers)|\bid_(?:rsa|ed25519|ecdsa)\b|/proc/(?:self|\d+)/environ|\.env\b"
)
_RULES: Final[tuple[tuple[str, str, re.Pattern[str]], ...]] = tuple(
    (rule, what, re.compile(pattern, re.IGNORECASE))
    for rule, what, pattern in (
        (
            "shell.reverse",
            "a shell that somebody else drives",
            r"/dev/(?:tcp|udp)/\w|\bnc(?:at)?\b[^|;&\n]*\s-\w*[ec]\b|\b(?:ba|z|k)?sh\s+-i\b|\bsocat\b[^\n]*exec:|mkfifo\s+\S+\s*;",
        ),
        (
            "shell.upload",
            "a file or output sent away",
            r"\bcurl\b[^\n]*(?:\s-(?:d|F|T)\s*@?|\s--data(?:-\w+)?[ =]@?|\s--upload-file|\s--form)|\bwget\b[^\n]*--post-(?:data|file)|\b(?:scp|rsync|sftp)\b[^\n]*\s\S+@\S+:|\bInvoke-(?:WebRequest|RestMethod)\b[^\n]*-(?:Body|InFile)\b",
        ),
        (
            "shell.download",
            "a script run straight from the net",
            r"\b(?:curl|wget|fetch)\b[^\n|]*\|\s*(?:sudo\s+)?(?:ba|z|k|da)?sh\b|\b(?:curl|wget)\b[^\n|]*\|\s*(?:python|perl|ruby|node)\d?\b|\biex\b[^\n]*\b(?:iwr|downloadstring)\b|\b(?:ba)?sh\s+<\(\s*(?:curl|wget)\b|\beval\s+[\"'$(`]+\s*(?:curl|wget)\b",
        ),
        ("shell.name", "data asked of a name server", r"\b(?:dig|nslookup|host|ping)\b[^\n]*(?:\$\(|`|\$\{)"),
        (
            "shell.pipe",
            "a secret piped into the net",
            r"(?:\benv\b|\bprintenv\b|\bbase64\b|\bcat\b|\btar\b|\bxxd\b)[^\n]*\|\s*(?:nc|ncat|curl|wget|openssl|telnet)\b|\b(?:curl|wget)\b[^\n]*(?:\$\(|`)[^\n]*\b(?:cat|env|printenv|base64|whoami|id|hostname)\b",
        ),
        (
            "shell.secret",
            "a file of secrets read",
            rf"\b(?:cat|less|more|head|tail|cp|scp|base64|xxd|tar|zip|grep|awk|sed|strings|type|get-content)\b[^\n|;&]*(?:{_SECRET_FILES})",
        ),
        (
            "shell.encoded",
            "a command that hides what it does",
            r"\bpowershell(?:\.exe)?\b[^\n]*\s-(?:e|ec|enc|encodedcommand)\b|\bbase64\b\s+(?:-d|--decode|-D)\b[^\n]*\|\s*(?:ba|z|k|da)?sh\b|\becho\b[^\n]*\|\s*(?:xxd\s+-r|base64\s+-d)[^\n]*\|\s*(?:ba)?sh\b|\bpython\d?\b\s+-c\b[^\n]*(?:exec|eval|__import__)\s*\(",
        ),
        (
            "shell.wipe",
            "files wiped or everything opened",
            r"\brm\s+(?:-\w*\s+)*-\w*[rf]\w*[rf]?\w*\s+(?:--no-preserve-root\s+)?(?:/|~|\$HOME|\*|\.\.?)(?:\s|/?\*|$)|\bmkfs\.\w+|\bdd\b[^\n]*\bof=/dev/|>\s*/dev/sd\w|:\(\)\s*\{\s*:\|:&\s*\};:|\bchmod\s+(?:-R\s+)?0?777\s+/|\bgit\s+push\b[^\n]*--mirror",
        ),
        (
            "shell.stay",
            "something left behind that starts again",
            r"\bcrontab\s+(?:-|\S+$)|>>?\s*(?:~|/root|/home/\w+)/\.(?:bashrc|profile|zshrc|ssh/authorized_keys)|\bauthorized_keys\b[^\n]*<<|/etc/(?:cron\.\w+|rc\.local|ld\.so\.preload)\b",
        ),
    )
)


def shell(text: str) -> Iterator[Threat]:
    """Commands that send, open, hide or wipe."""
    for rule, what, pattern in _RULES:
        if pattern.search(text):
            yield Threat(rule, what)
