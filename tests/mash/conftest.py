"""Golden cases of R's mashr, and small inputs with known structure."""

from tests.mash_cases import golden, screen

__all__ = ["golden", "screen"]
