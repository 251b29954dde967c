"""Launchers for sweeps; Hydra finds them because they lie under ``hydra_plugins``."""
