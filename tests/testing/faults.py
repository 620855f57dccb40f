"""Runs one check of a contract on something that is broken where this check looks."""

import re

import pytest

from torchmomentum.testing import ContractError


def is_found(contract, check, make, words=""):
    """The check fails, and says so with these words."""
    others = [name for name in contract.checks if name != check]
    with pytest.raises(ContractError, match=rf"^{check}: .*{re.escape(words)}"):
        contract.run(make, others)
