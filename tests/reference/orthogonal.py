"""The orthogonal network of the papers, step by step, sharing no code with the package."""

import torch


def skew(a):
    """The skew-symmetric matrix of what stands above the diagonal."""
    above = torch.triu(a, diagonal=1)
    return above - above.T


def orthogonal(base, a, map):
    """The base moved by the exponential, or by Cayley's map."""
    a = skew(a)
    if map == "exp":
        return base @ torch.linalg.matrix_exp(a)
    eye = torch.eye(len(a), dtype=a.dtype)
    return base @ torch.linalg.inv(eye - a / 2) @ (eye + a / 2)


def modrelu(z, b):
    """modReLU of real numbers, zero where the modulus is below -b."""
    modulus = z.abs() + b
    return torch.where(modulus > 0, z.sign() * modulus, 0.0)


def rnn(drives_of, xs, w, u, b):
    """A network whose input part is whatever ``drives_of`` makes of the drives, one by one."""
    h, memory, outputs = xs.new_zeros(xs.shape[1], len(u)), None, []
    for t, x in enumerate(xs):
        part, memory = drives_of(t, x @ w.T, memory)
        h = modrelu(part + h @ u.T, b)
        outputs.append(h)
    return torch.stack(outputs)


def descend(base, a, map, every, lr, gradient, steps):
    """Matrices of a training by gradient descent on the tangent, rebased every few steps."""
    found = []
    for step in range(1, steps + 1):
        a = a.detach().requires_grad_()
        u = orthogonal(base, a, map)
        found.append(u.detach())
        (slope,) = torch.autograd.grad((u * gradient).sum(), a)
        a = (a - lr * slope).detach()
        if every and step % every == 0:
            base, a = orthogonal(base, a, map), torch.zeros_like(a)
    return found
