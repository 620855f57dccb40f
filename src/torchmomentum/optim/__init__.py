"""Nesterov's accelerated gradient with scheduled or adaptive restart, as PyTorch optimizers."""

from torchmomentum.optim._nag import NAG
from torchmomentum.optim._restart_scheduler import RestartScheduler
from torchmomentum.optim._srsgd import SRSGD

__all__ = ["NAG", "SRSGD", "RestartScheduler"]
