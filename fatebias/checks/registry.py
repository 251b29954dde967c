"""The checks of a fit, in the order in which a run does them."""

from __future__ import annotations

from fatebias.checks.base import Check
from fatebias.checks.commitment import Commitment
from fatebias.checks.controls import Controls
from fatebias.checks.heldout import Heldout
from fatebias.checks.resample import Resample
from fatebias.checks.spike_in import SpikeIn

CHECKS: tuple[Check, ...] = (Commitment(), Controls(), SpikeIn(), Heldout(), Resample())
