"""Adding and copying, as Appendix A.4 of the MomentumRNN paper defines them; selective copying."""

from __future__ import annotations

import torch
from torch import Tensor

SYMBOLS = 8  # of the copying alphabet; the paper leaves it open, this is the field's usual choice
COPIED = 10  # characters to copy, likewise
BLANK, START = 0, SYMBOLS + 1
KINDS = 16  # of selective copying's inputs: noise, fourteen tokens, the sign that asks for them
ASKED = 16  # tokens to copy there


def adding(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Two sequences, values and markers; the target is the sum of the two marked values.

    One marker is uniform in the first half of the sequence, the other in the second half.

    Args:
        count: Sequences.
        length: Steps of each, at least 2.
        generator: What it is drawn from.

    Returns:
        Input ``(length, count, 2)`` and target ``(count, 1)``.

    Example:
        >>> x, y = adding(3, 10, torch.Generator().manual_seed(0))
        >>> torch.allclose((x[..., 0] * x[..., 1]).sum(0), y[:, 0])
        True
    """
    values = torch.rand(length, count, generator=generator)
    half = length // 2
    first = torch.randint(0, half, (count,), generator=generator)
    second = torch.randint(half, length, (count,), generator=generator)
    each = torch.arange(count)
    markers = torch.zeros(length, count)
    markers[first, each] = 1.0
    markers[second, each] = 1.0
    target = values[first, each] + values[second, each]
    return torch.stack([values, markers], -1), target.unsqueeze(-1)


def copying(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """K characters, L blanks, a start sign and K - 1 blanks; the target is K + L blanks and the K.

    Args:
        count: Sequences.
        length: Blanks between, L.
        generator: What it is drawn from.

    Returns:
        One-hot input ``(L + 2 K, count, symbols + 2)`` and target classes ``(L + 2 K, count)``.

    Example:
        >>> x, y = copying(3, 20, torch.Generator().manual_seed(0))
        >>> x.shape, torch.equal(x[:10].argmax(-1), y[-10:])
        (torch.Size([40, 3, 10]), True)
    """
    characters = torch.randint(1, SYMBOLS + 1, (COPIED, count), generator=generator)
    blanks = torch.full((length, count), BLANK)
    start = torch.full((1, count), START)
    inputs = torch.cat([characters, blanks, start, torch.full((COPIED - 1, count), BLANK)])
    target = torch.cat([torch.full((COPIED + length, count), BLANK), characters])
    return torch.nn.functional.one_hot(inputs, SYMBOLS + 2).float(), target


def selective_copying(count: int, length: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Tokens at random steps among noise, then signs that ask for them in their order.

    Gu and Dao, "Mamba" (2023), section 3.1: what is to be remembered is told by what it is, not by
    where it stands, which a filter that is the same at each step cannot do.

    Args:
        count: Sequences.
        length: Steps of noise and tokens, at least as many as the tokens, 16.
        generator: What it is drawn from.

    Returns:
        One-hot input ``(length + 16, count, 16)``, and the classes that are wanted at its last 16
        steps, ``(16, count)``.

    Example:
        >>> x, y = selective_copying(3, 40, torch.Generator().manual_seed(0))
        >>> heard = x[:40].argmax(-1).T
        >>> torch.equal(heard[heard > 0].view(3, 16), y.T)
        True
    """
    tokens = torch.randint(1, KINDS - 1, (ASKED, count), generator=generator)
    places = torch.rand(length, count, generator=generator).argsort(0)[:ASKED].sort(0).values
    inputs = torch.full((length + ASKED, count), KINDS - 1)
    inputs[:length] = torch.zeros(length, count, dtype=torch.long).scatter(0, places, tokens)
    return torch.nn.functional.one_hot(inputs, KINDS).float(), tokens
