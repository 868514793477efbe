"""Ruling: the agent registry and the audit client."""
