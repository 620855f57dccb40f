"""Sequences in the one form that layers work on, and back to the caller's."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nested import nested_tensor_from_jagged
from torch.nn.utils.rnn import PackedSequence

from torchmomentum._torch_private import plain
from torchmomentum.ops import steps_alive


class PaddedBatch(NamedTuple):
    """A batch of sequences, time first, and what is needed to give it back as it came."""

    data: Tensor  # (T, B, I)
    batched: bool = True
    packed: PackedSequence | None = None
    lengths: Tensor | None = None  # (B,); packed ones in decreasing order
    alive: Tensor | None = None  # (T, B), whether a step counts
    offsets: Tensor | None = None  # (B + 1,), where the sequences of jagged input begin

    def restored(self, data: Tensor, batch_first: bool) -> Tensor | PackedSequence:
        """Outputs ``(T, B, .)`` in the form in which the input came."""
        if self.offsets is not None and self.alive is not None:
            values = data.transpose(0, 1)[self.alive.T]
            return nested_tensor_from_jagged(values, self.offsets)
        if self.alive is not None:
            if self.packed is not None:
                return self.packed._replace(data=data[self.alive])
            data = data.masked_fill(~self.alive.unsqueeze(-1), 0)
        if batch_first:
            data = data.transpose(0, 1)  # (B, T, .)
        return data if self.batched else data.squeeze(0 if batch_first else 1)


def read_input(layer: nn.RNNBase, input: Any, lengths: Any) -> PaddedBatch:
    """Checks the input of a layer, and pads it or turns time to the front where needed.

    Raises:
        ValueError: Its rank or type is wrong, or lengths do not belong to it.
        RuntimeError: It has another number of features, or no steps.
    """
    if isinstance(input, PackedSequence):
        if lengths is not None:
            raise ValueError("a PackedSequence has its lengths in itself: pass no others")
        layer.check_input(input.data, input.batch_sizes)
        return _unpacked(input)
    if not isinstance(input, Tensor):
        kind, given = type(layer).__name__, type(input).__name__
        raise TypeError(f"{kind}: input must be a tensor or a PackedSequence, got {given}")
    if input.is_nested:
        return _unnested(layer, input, lengths)
    if input.dim() not in (2, 3):
        kind = type(layer).__name__
        raise ValueError(f"{kind}: Expected input to be 2D or 3D, got {input.dim()}D instead")
    batched = input.dim() == 3
    data = input if batched else input.unsqueeze(0 if layer.batch_first else 1)
    layer.check_input(data, None)
    if layer.batch_first:
        data = data.transpose(0, 1)  # (T, B, I)
    if data.shape[0] == 0:
        raise RuntimeError("Expected sequence length to be larger than 0 in RNN")
    if lengths is None:
        return PaddedBatch(data, batched)
    if not batched:
        raise ValueError("lengths are for a batch; cut an unbatched sequence instead")
    lengths = _checked_lengths(lengths, data)
    alive = steps_alive(data.shape[0], lengths)  # (T, B, 1)
    # what stands in the padding, a NaN too, must not reach values or gradients
    data = data.masked_fill(~alive, 0)
    return PaddedBatch(data, batched, lengths=lengths, alive=alive.squeeze(-1))


def _checked_lengths(given: Any, data: Tensor) -> Tensor:
    time, batch = data.shape[:2]
    try:
        lengths = torch.as_tensor(given, device=data.device)
    except (TypeError, ValueError, RuntimeError) as error:
        kind = type(given).__name__
        raise TypeError(f"lengths must be a tensor or a list of integers, got {kind}") from error
    if lengths.is_floating_point() or lengths.dtype == torch.bool or lengths.is_complex():
        raise TypeError(f"lengths must be integers, got {lengths.dtype}")
    if tuple(lengths.shape) != (batch,):
        raise ValueError(
            f"lengths must have shape ({batch},), one for each sequence, got {tuple(lengths.shape)}"
        )
    # neither a graph that is being captured, nor a transform, nor the meta device has values
    if plain() and batch and not lengths.is_meta:
        low, high = (int(edge) for edge in torch.aminmax(lengths))
        if low < 1 or high > time:
            raise ValueError(f"lengths must be in [1, {time}], got {low} to {high}")
    return lengths.long()


def _unnested(layer: nn.RNNBase, input: Any, lengths: Any) -> PaddedBatch:
    kind = type(layer).__name__
    if input.layout != torch.jagged or input.dim() != 3:
        raise ValueError(
            f"{kind}: nested input must have the layout torch.jagged and three dimensions, got "
            f"{input.layout} and {input.dim()}"
        )
    if not torch.compiler.is_compiling() and isinstance(input.shape[1], int):
        raise ValueError(f"{kind}: nested input must be ragged in its second dimension, (B, *, I)")
    if input.shape[0] == 0:
        raise ValueError(f"{kind}: nested input must have at least one sequence")
    if not layer.batch_first:
        raise ValueError(f"{kind}: nested input has its batch first: set batch_first=True")
    if lengths is not None:
        raise ValueError("nested input has its lengths in itself: pass no others")
    if input.lengths() is not None:
        input = input.contiguous()  # without holes between the sequences
    offsets = input.offsets()
    data = input.to_padded_tensor(0.0).transpose(0, 1)  # (T, B, I)
    layer.check_input(data, None)
    counts = _checked_lengths(offsets.diff(), data)
    alive = steps_alive(data.shape[0], counts).squeeze(-1)
    return PaddedBatch(data, lengths=counts, alive=alive, offsets=offsets)


def _unpacked(packed: PackedSequence) -> PaddedBatch:
    sizes = packed.batch_sizes.to(packed.data.device)
    batch = int(packed.batch_sizes[0])
    alive = torch.arange(batch, device=sizes.device) < sizes.unsqueeze(1)  # (T, B)
    data = padded(packed.data, alive)
    return PaddedBatch(data, packed=packed, lengths=alive.sum(0), alive=alive)


def padded(data: Tensor, alive: Tensor) -> Tensor:
    """Packed data in a padded batch, for ``alive`` ``(T, B)``; zeros elsewhere."""
    empty = data.new_zeros(*alive.shape, data.shape[-1])
    return empty.masked_scatter(alive.unsqueeze(-1), data)  # (T, B, .)


def flip(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Reverses time, each sequence within its own length."""
    if lengths is None:
        return x.flip(0)
    time, batch = x.shape[:2]
    forward = torch.arange(time, device=x.device).unsqueeze(1)  # (T, 1)
    source = torch.where(forward < lengths, lengths - 1 - forward, forward)  # (T, B)
    return x[source, torch.arange(batch, device=x.device)]


def before_last(out: Tensor, first: Tensor, lengths: Tensor | None) -> Tensor:
    """What precedes each sequence's last output: of ``(T, B, H)`` and the initial ``first``."""
    if lengths is None:
        return torch.cat([first.unsqueeze(0), out[-2:]])[-2]  # (B, H)
    rows = torch.arange(out.shape[1], device=out.device)
    return torch.where(lengths.unsqueeze(1) > 1, out[(lengths - 2).clamp(min=0), rows], first)
