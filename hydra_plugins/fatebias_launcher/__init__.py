"""Launchers for sweeps; Hydra finds them because they stand under ``hydra_plugins``."""
