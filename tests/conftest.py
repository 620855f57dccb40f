"""Every test starts from the same random numbers; test workers share the cores."""

import os
from pathlib import Path

import pytest
import torch

if os.environ.get("PYTEST_XDIST_WORKER"):
    torch.set_num_threads(1)
if torch.cuda.is_available():  # tests compare digits that TF32 has not
    torch.backends.cudnn.allow_tf32 = False


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def data_folder() -> Path:
    """The folder of real data, where this machine has one."""
    given = os.environ.get("TORCHMOMENTUM_DATA")
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(given) if given else beside
    if not (folder / "mnist").is_dir():
        pytest.skip("no real data: set TORCHMOMENTUM_DATA to a folder with mnist/")
    return folder
