"""Every Triton kernel compiles for a GPU, which the interpreter does not show."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from torchmomentum.ops.triton.launch import CELLS

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="the kernels run here, and are compiled for it"
)


@pytest.mark.slow
@pytest.mark.parametrize("which", [*CELLS, "filters", "wait"])
def test_compiles(which, tmp_path):
    script = Path(__file__).parents[1] / "reference" / "compile_kernels.py"
    environment = {**os.environ, "TRITON_CACHE_DIR": str(tmp_path)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, str(script), which], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
