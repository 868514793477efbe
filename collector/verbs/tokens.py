"""``fusebox tokens``."""

from collector.verbs.people import TokensVerb

verb = TokensVerb("principals.json", "agent processes", "FUSEBOX_AGENT_TOKEN", bound=True)
