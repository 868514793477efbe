"""Backtest: what the rules would have done to events that already happened."""
