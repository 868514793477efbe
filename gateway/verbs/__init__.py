"""Verbs of the gateway on the command line."""
