"""``fusebox operators``."""

from collector.verbs.people import TokensVerb

verb = TokensVerb("operators.json", "people who may kill and resume", "FUSEBOX_OPERATOR_TOKEN", bound=False)
