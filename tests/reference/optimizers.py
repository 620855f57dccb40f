"""The slides' update, both sequences written out, sharing no code with the package."""

import torch


def srsgd(w, gradient, lrs, restart, weight_decay=0.0):
    """Scheduled restart SGD from ``w``: ``gradient(w)`` each step, one learning rate a step."""
    v = w.clone()
    path = []
    for k, lr in enumerate(lrs):
        j = k % restart if restart else k
        new = w - lr * (gradient(w) + weight_decay * w)
        w = new + j / (j + 3) * (new - v)
        v = new
        path.append(w)
    return torch.stack(path)
