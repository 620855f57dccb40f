"""The rule of a layer or a cell in its state dict's metadata, which no other loader minds.

Weights trained with one rule compute something else with another, and their names and shapes are
the same. So a state dict says which rule it belongs to. ``torch.nn``'s say nothing, and load.
"""

from __future__ import annotations

import warnings
from typing import Any

from torch import nn

_KEY = "momentum"


class TellsItsRule(nn.Module):
    """What has an attribute ``momentum``, a rule or None, and says so in its state dict."""

    def _described(self) -> str | None:
        rule: Any = self.momentum
        return None if rule is None else rule.described()

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        metadata = getattr(destination, "_metadata", {}).get(prefix[:-1])
        if metadata is not None and self.momentum is not None:
            metadata[_KEY] = self._described()

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        metadata: Any,
        strict: bool,
        missing: list[str],
        unexpected: list[str],
        errors: list[str],
    ) -> None:
        """Loads, and warns where the weights belong to another rule.

        PyTorch does not say here whether the caller is strict. An unexpected key makes it an error
        where it is.
        """
        loaded = state_dict, prefix, metadata, strict, missing, unexpected, errors
        super()._load_from_state_dict(*loaded)
        given, own = metadata.get(_KEY), self._described() or "no rule"
        if given is None or given == own:
            return
        where = prefix[:-1] or type(self).__name__
        told = f"the weights of {where} were trained with {given}, and it has {own}"
        warnings.warn(f"{told}: make it with the same", stacklevel=2)
        unexpected.append(f"{prefix}{_KEY} ({told}; strict=False loads them)")
