"""``fusebox dlq`` and ``fusebox held``: the messages that wait for a person."""
