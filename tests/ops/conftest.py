"""What the tests of ops share."""

import pytest
import torch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the interpreter of Triton 3.4 on a newer NumPy, in torch 2.8
    old = pytest.mark.filterwarnings(
        "ignore:Conversion of an array with ndim > 0:DeprecationWarning"
    )
    for item in items:
        if item.path.parent.name == "ops":
            item.add_marker(old)


@pytest.fixture
def poisoned():
    """Fills what is allocated with NaN: nothing that a kernel leaves unwritten may be read."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(params=[1, 2, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def default_dtype():
    """Sets PyTorch's default type, until the test ends."""
    before = torch.get_default_dtype()
    yield torch.set_default_dtype
    torch.set_default_dtype(before)


@pytest.fixture
def fast(monkeypatch):
    """Layers run on our kernels, which on v2 are slower than PyTorch's and not chosen."""
    monkeypatch.setattr("torchmomentum.ops._choose.instruction_set", lambda: "v3")
