"""Samplers with and without momentum, as optimizers over a potential."""

from torchmomentum.sampling._diagnostics import Diagnostics, diagnose
from torchmomentum.sampling._langevin import HMC, LMC
from torchmomentum.sampling._sample import DivergedError, sample

__all__ = ["HMC", "LMC", "Diagnostics", "DivergedError", "diagnose", "sample"]
