"""The version of the distribution ``agent-fusebox``."""

__version__ = "0.1.0"
