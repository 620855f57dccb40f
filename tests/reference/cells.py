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


def gru(gates_of, xs, w, u, b, c):
    """A gated recurrent unit with torch's gates r, z, n, likewise."""
    size = u.shape[1]
    h, memory, outputs = xs.new_zeros(xs.shape[1], size), None, []
    for t, x in enumerate(xs):
        part, memory = gates_of(t, x @ w.T + b, memory)
        r, z, n = (part[:, k * size : (k + 1) * size] for k in range(3))
        ur, uz, un = ((h @ u.T + c)[:, k * size : (k + 1) * size] for k in range(3))
        z = (z + uz).sigmoid()
        h = (1 - z) * (n + (r + ur).sigmoid() * un).tanh() + z * h
        outputs.append(h)
    return torch.stack(outputs), h


def rnn(gates_of, xs, w, u, b, c):
    """An Elman network, likewise: equation (9)."""
    h, memory, outputs = xs.new_zeros(xs.shape[1], len(u)), None, []
    for t, x in enumerate(xs):
        part, memory = gates_of(t, x @ w.T + b, memory)
        h = (part + h @ u.T + c).tanh()
        outputs.append(h)
    return torch.stack(outputs), h


def hidden(rule_of, u):
    """Remarks 1 and 4: what a rule makes of the drives, through each gate's recurrent weights."""
    size = u.shape[1]

    def gates_of(t, drive, memory):
        v, memory = rule_of(t, drive, memory)
        blocks = zip(v.split(size, 1), u.split(size, 0), strict=True)
        return torch.cat([part @ block.T for part, block in blocks], 1), memory

    return gates_of


def equation_14(mu, s, beta, eps, u):
    """Adam's iteration in hidden space as printed: the drives ``W x`` are ``U`` times its ``u_t``.

    Its ``r_t`` is taken for ``m_t``, and what ``W x`` adds for the "gradient" ``-u_t``.
    """
    size = u.shape[1]

    def gates_of(t, drive, memory):
        found, kept = [], []
        for k, (part, block) in enumerate(zip(drive.split(size, 1), u.split(size, 0), strict=True)):
            p, m = (0.0, 0.0) if memory is None else memory[k]
            step = torch.linalg.solve(block, part.T).T
            p = mu * p + (1 - mu) * step
            m = beta * m + (1 - beta) * step * step
            found.append((s * p / (m.sqrt() + eps)) @ block.T)
            kept.append((p, m))
        return torch.cat(found, 1), kept

    return gates_of


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
