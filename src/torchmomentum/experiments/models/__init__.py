"""Models: one kind a file. A model is built for a task's data, and knows no task."""

from torchmomentum.experiments.models._model import (
    Model,
    build_model,
    check_model,
    hyperparameters,
    model_names,
    model_of,
    parts_of,
    setting,
    with_options,
)

__all__ = [
    "Model",
    "build_model",
    "check_model",
    "hyperparameters",
    "model_names",
    "model_of",
    "parts_of",
    "setting",
    "with_options",
]
