"""What the tests of ops share."""

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    # the interpreter of Triton 3.4 on a newer NumPy, in torch 2.8
    old = pytest.mark.filterwarnings(
        "ignore:Conversion of an array with ndim > 0:DeprecationWarning"
    )
    for item in items:
        if item.path.parent.name == "ops":
            item.add_marker(old)
