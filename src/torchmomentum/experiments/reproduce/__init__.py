"""The slides' and the papers' experiments, each by its name: ``torchmomentum reproduce NAME``."""
