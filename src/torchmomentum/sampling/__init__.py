"""Langevin and Hamiltonian Monte Carlo as optimizers over a potential, and chain diagnostics."""

from torchmomentum.sampling._diagnostics import Diagnostics, diagnose
from torchmomentum.sampling._langevin import HMC, LMC
from torchmomentum.sampling._sample import DivergedError, sample

__all__ = ["HMC", "LMC", "Diagnostics", "DivergedError", "diagnose", "sample"]
