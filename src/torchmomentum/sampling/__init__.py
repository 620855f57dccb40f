"""Langevin and Hamiltonian Monte Carlo as optimizers over a potential, and chain diagnostics."""

from torchmomentum.sampling._arviz import to_arviz
from torchmomentum.sampling._cyclical import CyclicalSteps
from torchmomentum.sampling._diagnostics import Diagnostics, diagnose
from torchmomentum.sampling._langevin import HMC, LMC
from torchmomentum.sampling._predictive import predict
from torchmomentum.sampling._sample import DivergedError, sample
from torchmomentum.sampling._thermostat import SGNHT

__all__ = [
    "HMC",
    "LMC",
    "SGNHT",
    "CyclicalSteps",
    "Diagnostics",
    "DivergedError",
    "diagnose",
    "predict",
    "sample",
    "to_arviz",
]
