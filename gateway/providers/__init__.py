"""Adapters: how each kind of provider is reached."""
