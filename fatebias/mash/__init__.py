"""Multivariate adaptive shrinkage on plain arrays, as R's mashr and ashr, with numpy and scipy alone.

Estimates bhat of one gene's effects b on D days have normal errors with known standard errors S and
correlation V; the effects of all genes come from one mixture of centred normals, fitted by maximum
likelihood:

    bhat | b ~ N(b, S V S),    b ~ sum_kl pi_kl N(0, w_l^2 U_k)

with patterns U_k of sharing between days and a grid of scales w_l (Urbut, Wang, Carbonetto and Stephens 2019,
doi 10.1038/s41588-018-0268-8, equations 1 and 2).

Legend: L genes, D days, P components, K patterns, S draws. `genes` may be any units, `days` any conditions.
"""

from fatebias.mash.covariances import canonical, day_patterns
from fatebias.mash.effect_likelihood import EffectLikelihood
from fatebias.mash.joint import JointPosterior, Prior
from fatebias.mash.multivariate import mash
from fatebias.mash.null_correlation import NullCorrelation, estimate_null_correlation
from fatebias.mash.shrink import MashResult
from fatebias.mash.univariate import AshResult, ash

__all__ = [
    "AshResult",
    "EffectLikelihood",
    "JointPosterior",
    "MashResult",
    "NullCorrelation",
    "Prior",
    "ash",
    "canonical",
    "day_patterns",
    "estimate_null_correlation",
    "mash",
]
