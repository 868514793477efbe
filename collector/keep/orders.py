"""The files by which ``fusebox collector`` and *keep* speak; :mod:`collector.keep.replay` tells their format."""

from typing import Final

ORDER: Final = "replay.json"
ANSWER: Final = "replayed.json"
