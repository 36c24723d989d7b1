"""Applies a block to a state. Sees no clock, file, socket, random number or log."""
