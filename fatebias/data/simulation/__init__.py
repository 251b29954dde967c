"""Screens with known truth."""
