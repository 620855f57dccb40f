"""A layer whose momentum stands among the features of its state."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from torchmomentum.nn._carried import packed, unpacked
from torchmomentum.nn._recurrent import Recurrent
from torchmomentum.nn._sequence import read_input
from torchmomentum.nn._state import change_all


class FlatState(nn.Module):
    r"""A layer with its momentum among the features of ``h``, for states that leave PyTorch.

    Where a caller keeps states in NumPy arrays, in buffers of ``hidden_size`` features or in files,
    the momentum must be part of the numbers. Here ``h`` is ``(layers, B, W)``: first the layer's
    own features, then the momentum's; ``c`` is padded with zeros to the same width. ``hidden_size``
    says :math:`W`, so that buffers made from it fit; the outputs are as wide as the layer's.

    States are in float32 at least, as a momentum is. A state of zeros begins anew, and so does one
    that was multiplied by zero, as reinforcement learning does where an episode begins. One of the
    layer's own width begins without momentum.

    Args:
        layer: A layer of this package with a rule.

    Attributes:
        layer: The layer.
        hidden_size: Features of the state, :math:`W`.

    Raises:
        TypeError: It is no such layer, or has no rule.

    Example:
        >>> lstm = FlatState(LSTM(3, 4, momentum=Momentum(0.6, 0.6)))
        >>> lstm.hidden_size  # h, and a velocity of the input and of the bias
        8
        >>> out, (h, c) = lstm(torch.ones(5, 2, 3))
        >>> out.shape, h.shape, c.shape
        (torch.Size([5, 2, 4]), torch.Size([1, 2, 8]), torch.Size([1, 2, 8]))
    """

    def __init__(self, layer: Recurrent) -> None:
        super().__init__()
        if not isinstance(layer, Recurrent) or layer.momentum is None:
            raise TypeError(
                "layer must be a layer of torchmomentum.nn with a momentum rule, got "
                f"{type(layer).__name__}"
            )
        self.layer = layer
        self._widest = packed(layer._fresh_momentum(1, device="meta"), (1,)).shape[-1]
        self.hidden_size: int = max(layer._form.widths) + self._widest
        for name in ("input_size", "num_layers", "batch_first", "bidirectional", "proj_size"):
            setattr(self, name, getattr(layer, name))

    def forward(self, input: Any, hx: Any = None, *, lengths: Any = None) -> Any:
        """Runs the layer; see :meth:`Recurrent.forward`.

        Args:
            input: As the layer takes it.
            hx: The state of the torch namesake, :math:`W` or the layer's own features wide. None
                starts from zeros.
            lengths: As the layer takes them.

        Returns:
            The outputs, and the state, :math:`W` wide.

        Raises:
            TypeError: The state is of another structure.
            ValueError: It is of another width.
        """
        form, data = self.layer._form, getattr(input, "data", input)
        batched = not isinstance(input, Tensor) or data.dim() == 3
        if hx is None:
            batch = read_input(self.layer, input, lengths).data.shape[1] if batched else None
            state = self.layer.initial_state(batch)
        else:
            state = self._split(hx, batched, data.dtype)
        out, (*states, momentum) = self.layer(input, state, lengths=lengths)
        features = packed(momentum, states[0].shape[1:-1])
        first, *rest = [state.to(features.dtype) for state in states]
        h = torch.cat([self._wide(first, self.hidden_size - self._widest), features], -1)
        rest = [self._wide(state, self.hidden_size) for state in rest]
        return out, form.join((h, *rest), None)

    @staticmethod
    def _wide(state: Tensor, width: int) -> Tensor:
        return pad(state, (0, width - state.shape[-1]))

    def _split(self, hx: Any, batched: bool, dtype: torch.dtype) -> Any:
        """The layer's state with its momentum, of one that is flat."""
        form = self.layer._form
        parts, apart = form.split(hx, self.layer.momentum)
        if apart is not None:
            return hx  # the layer's own state with its momentum
        own = tuple(part.shape[-1] for part in parts)
        if own == form.widths:
            parts = tuple([self._wide(part, self.hidden_size) for part in parts])
        elif own != (self.hidden_size,) * len(form.widths):
            raise ValueError(
                f"the state must have {self.hidden_size} features or the layer's own "
                f"{', '.join(map(str, form.widths))}, got {', '.join(map(str, own))}"
            )
        widths = zip(parts, form.widths, strict=True)
        states = [part[..., :width].to(dtype) for part, width in widths]
        features = parts[0][..., self.hidden_size - self._widest :]
        features = features if batched else features.unsqueeze(1)
        wide = features.to(torch.promote_types(features.dtype, torch.float32))
        momentum = unpacked(wide, self.layer._fresh_momentum(wide.shape[1], device="meta"))
        if momentum is None:
            raise ValueError(f"the state must be of {form.layers} layers and directions")
        if not batched:
            _, momentum = change_all((), momentum, Tensor.squeeze)
        return (*states, momentum)
