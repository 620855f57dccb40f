"""What the slides prove of gradient descent and of momentum, on functions that are known whole."""

import math

import pytest
import torch

import torchmomentum as tm

GD = 1  # restarted in each step, Nesterov's method is gradient descent
CONVEX = torch.logspace(-4, 0, 30, dtype=torch.float64)  # curvatures: of a quadratic, L = 1
SHARP = torch.linspace(0.1, 1.0, 30, dtype=torch.float64)


def _path(function, start, lr, restart, steps):
    """The points of a descent, the first counted in."""
    w = torch.nn.Parameter(start.clone())
    optimizer = tm.optim.NAG([w], lr=lr, restart=restart)
    points = [w.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss = function(w)
        loss.backward()
        optimizer.step(loss if restart == "function" else None)
        points.append(w.detach().clone())
    return torch.stack(points)


def _quadratic(curvatures):
    return lambda w: (curvatures * w**2).sum(-1) / 2


def _values(curvatures, restart, steps=400):
    """The values along a descent from ones, and the squared distance of its start."""
    start = torch.ones_like(curvatures)
    points = _path(_quadratic(curvatures), start, 1.0, restart, steps)
    return _quadratic(curvatures)(points), start.square().sum()


def test_gradient_descent_on_what_is_strongly_convex():
    """Bound 1: the distance shrinks by (L/mu - 1) / (L/mu + 1) a step, and no more is true."""
    least, most = SHARP.min(), SHARP.max()
    start = torch.ones_like(SHARP)
    distance = _path(_quadratic(SHARP), start, float(2 / (least + most)), GD, 50).norm(dim=-1)
    factor = (most / least - 1) / (most / least + 1)
    k = torch.arange(51)
    assert (distance <= factor**k * distance[0] * (1 + 1e-9)).all()
    # the steepest and the flattest unknown shrink by just that
    assert distance[50] > factor**50 * math.sqrt(2) * 0.99


def test_gradient_descent_on_what_is_convex():
    """Bound 2: 2 L |w_0 - w*|^2 / k."""
    values, squared = _values(CONVEX, GD)
    k = torch.arange(1, 401)
    assert (values[1:] <= 2 * squared / k).all()
    assert (values[1:] <= values[:-1]).all()


def test_gradient_descent_on_what_is_not_convex():
    """Bound 3: the least gradient is at most the root of 2 L (f(w_0) - f*) / k."""

    def waves(w):  # of curvatures from -1 to 1, least -30
        return w.cos().sum(-1)

    start = torch.linspace(0.01, 1.5, 30, dtype=torch.float64)
    points = _path(waves, start, 1.0, GD, 60)
    gradients = points.sin().norm(dim=-1)
    least = torch.cummin(gradients, 0).values[1:]
    k = torch.arange(1, 61)
    assert (least <= (2 * (waves(points[0]) + 30) / k).sqrt()).all()


def test_nesterovs_method_on_what_is_convex():
    """2 L |w_0 - w*|^2 / (k + 1)^2, where gradient descent is hundreds of times as far."""
    values, squared = _values(CONVEX, None)
    k = torch.arange(401)
    assert (values <= 2 * squared / (k + 1) ** 2).all()
    slow, _ = _values(CONVEX, GD)
    assert values[400] < slow[400] / 200


@pytest.mark.parametrize("restart", ["function", 60])
def test_restarts_make_it_geometric_where_the_function_is_sharp(restart):
    plain, _ = _values(SHARP, None)
    assert (plain[1:] > plain[:-1]).any()  # it is no descent
    restarted, _ = _values(SHARP, restart)
    assert restarted[400] < 1e-9 * plain[400]
    falls = restarted[:361:60].log().diff()
    assert (falls < math.log(1e-5)).all()  # as much again with each restart, to the end


def test_why_momentum_works():
    """An ill-conditioned valley, both at their best: momentum gets a hundred times as near."""
    curvatures = torch.tensor([1.0, 0.01], dtype=torch.float64)

    def descend(lr, momentum):
        w = torch.nn.Parameter(torch.ones(2, dtype=torch.float64))
        optimizer = torch.optim.SGD([w], lr=lr, momentum=momentum)
        points = []
        for _ in range(100):
            optimizer.zero_grad()
            _quadratic(curvatures)(w).backward()
            optimizer.step()
            points.append(w.detach().clone())
        return torch.stack(points)

    # each with its best step and momentum for these curvatures
    plain = descend(2 / (1 + 0.01), 0.0)
    momentum = ((1 - 0.1) / (1 + 0.1)) ** 2
    smooth = descend((2 / (1 + 0.1)) ** 2, momentum)
    assert smooth[-1].norm() < plain[-1].norm() / 100
