"""Deciding: detectors, the circuit per agent, the kill latch, the board, and the guards that read them."""
