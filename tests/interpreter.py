"""Whether Triton's kernels can run in a test: on a GPU, or interpreted."""

import numpy as np
import pytest
import torch


def need_triton() -> None:
    """Skips what needs Triton where it is absent, or its interpreter fails on this NumPy."""
    triton = pytest.importorskip("triton")
    version = tuple(int(part) for part in triton.__version__.split(".")[:2])
    try:
        int(np.ones(1))
    except TypeError:  # what NumPy refuses by now, and the interpreter before Triton 3.5 does
        if version < (3, 5) and not torch.cuda.is_available():
            reason = f"Triton {triton.__version__} does not interpret on NumPy {np.__version__}"
            pytest.skip(reason, allow_module_level=True)
