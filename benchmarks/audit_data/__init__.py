"""Audit logs made at random, and every way to tamper with them."""
