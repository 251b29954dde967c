"""Sweeps: where their runs are run, what became of them, and what they say together."""
