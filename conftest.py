"""What the examples in docstrings may use without an import: torch and the public names."""

import os
from typing import Any

import pytest
import torch

import torchmomentum.nn
import torchmomentum.optim
import torchmomentum.sampling

if not torch.cuda.is_available():  # Triton asks for it when it is imported
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(autouse=True)
def _names(doctest_namespace: dict[str, Any]) -> None:
    doctest_namespace["torch"] = torch
    for module in (torchmomentum.nn, torchmomentum.optim, torchmomentum.sampling):
        doctest_namespace.update({name: getattr(module, name) for name in module.__all__})
