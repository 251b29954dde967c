"""What the fit found of covariates: their effects on fates, for the log and run.json."""

from __future__ import annotations

from typing import Any

from fatebias.data.screen import Screen
from fatebias.inference.posterior import Posterior


def covariate_effects(posterior: Posterior, screen: Screen) -> dict[str, dict[str, dict[str, float]]]:
    """Return mean and SD of each covariate's effect on each fate's logit; of an SD of a number."""
    first = len(posterior.shared_mean) - screen.C
    return {
        name: {
            fate: {
                "mean": float(posterior.shared_mean[first + c, f]),
                "sd": float(posterior.shared_sd[first + c, f]),
            }
            for f, fate in enumerate(screen.fates[1:])
        }
        for c, name in enumerate(screen.covariate_names)
    }


def covariate_line(effects: dict[str, dict[str, Any]], contrast: str) -> str:
    """Return the effects on the contrast fate, of categories the mean: their level is the intercepts' too."""
    parts = (
        f"{name} {of[contrast]['mean']:+.3f}" + ("" if "=" in name else f" (SD {of[contrast]['sd']:.3f})")
        for name, of in effects.items()
    )
    return f"covariates, effect on {contrast}: {', '.join(parts)}"
