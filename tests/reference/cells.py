"""The papers' recurrences in gate space, step by step, sharing no code with the package.

Weights in torch's layout: ``w`` (4H, I), ``u`` (4H, H), ``b`` and ``c`` (4H,), gates i, f, g, o.
"""

import torch


def lstm(gates_of, xs, w, u, b, c):
    """An LSTM whose input part is whatever ``gates_of`` makes of the drives, one by one."""
    size = u.shape[1]
    h = cell = xs.new_zeros(xs.shape[1], size)
    memory, outputs = None, []
    for t, x in enumerate(xs):
        part, memory = gates_of(t, x @ w.T + b, memory)
        total = part + h @ u.T + c
        i, f, g, o = (total[:, k * size : (k + 1) * size] for k in range(4))
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        h = o.sigmoid() * cell.tanh()
        outputs.append(h)
    return torch.stack(outputs), h, cell


def momentum(mu, s):
    """Equation (9), as in the listing of Appendix F."""

    def gates_of(t, drive, v):
        v = s * drive if v is None else mu * v + s * drive
        return v, v

    return gates_of


def nesterov(s, restart):
    """Section 2.4, with k = 0, 1, ... and zero momentum at each restart."""

    def gates_of(t, drive, v):
        k = t % restart if restart else t
        v = s * drive if v is None else k / (k + 3) * v + s * drive
        return v, v

    return gates_of


def adam(mu, s, beta, eps):
    """Equation (15), in the squares as printed."""

    def gates_of(t, drive, memory):
        v, m = (0.0, 0.0) if memory is None else memory
        v = mu * v + s * drive
        m = beta * m + (1 - beta) * drive**2
        return v / (m.sqrt() + eps), (v, m)

    return gates_of


def released_lstm(s, restart, xs, w, u, b, c):
    """The released code's SRLSTM: momentum on the whole pre-activation, k = 1, ..., F."""
    size = u.shape[1]
    h = cell = xs.new_zeros(xs.shape[1], size)
    before, outputs, k = 0.0, [], 1
    for x in xs:
        now = h @ u.T + c - s * (x @ w.T + b)
        total = now + (k - 1) / (k + 2) * (now - before)
        before, k = now, k + 1 if k < restart else 1
        i, f, g, o = (total[:, j * size : (j + 1) * size] for j in range(4))
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        h = o.sigmoid() * cell.tanh()
        outputs.append(h)
    return torch.stack(outputs), h, cell
