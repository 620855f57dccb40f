"""``torch.func`` and forward mode, of every rule and cell."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad
from torch.func import functional_call, grad, hessian, jacrev, jvp, stack_module_state, vmap

import torchmomentum.nn as tnn
from tests.reference import layers

CELLS = {**layers.CELLS, "normalized rnn": layers.NORMALIZED["normalized rnn"]}
RULES = {
    **layers.EACH_KIND,
    "momentum": lambda: tnn.Momentum(0.6, 0.9, learnable=True),
}
# torch's own forward mode still scripts some of its decompositions
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
both = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
cells = pytest.mark.parametrize("cell", CELLS)
rules = pytest.mark.parametrize("rule", RULES)


def _close(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def _loss(layer):
    return lambda x: layer(x)[0].square().sum()


def test_the_original_has_no_ensembles():
    models = [nn.LSTM(3, 4).double() for _ in range(2)]
    parameters, _ = stack_module_state(models)
    x = torch.randn(5, 2, 3, dtype=torch.float64)

    def run(p):
        return functional_call(models[0], p, (x,))[0].sum()

    with pytest.raises(RuntimeError):
        vmap(run)(parameters)


def test_the_original_has_no_forward_mode():
    # second derivatives it has by now, but for cuDNN's
    layer, x = nn.LSTM(3, 4), torch.randn(5, 2, 3)
    with pytest.raises(NotImplementedError, match="forward AD"):
        jvp(_loss(layer), (x,), (torch.ones_like(x),))


@cells
@rules
def test_lengths_in_batches_of_batches(cell, rule):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]())
    x, lengths = torch.randn(4, 5, 2, 3), torch.tensor([[5, 1], [3, 2], [1, 4], [2, 5]])
    found = vmap(lambda x, lengths: layer(x, lengths=lengths)[0])(x, lengths)
    expected = [layer(a, lengths=b)[0] for a, b in zip(x, lengths, strict=True)]
    _close(found, torch.stack(expected))


@cells
def test_weights_of_another_type(cell):
    layer, x = CELLS[cell](3, 4, momentum=tnn.Momentum(0.6, 0.9)), torch.randn(5, 2, 3)
    double = {name: p.double() for name, p in layer.named_parameters()}
    found, _ = functional_call(layer, double, (x.double(),))
    assert found.dtype == torch.float64
    _close(found.float(), layer(x)[0])
    with pytest.raises(ValueError, match="does not match weight dtype"):
        layer(x.double())


@both
@cells
@rules
def test_ensembles(cell, rule, dtype):
    models = [CELLS[cell](3, 4, momentum=RULES[rule]()).to(dtype) for _ in range(3)]
    parameters, _ = stack_module_state(models)
    x = torch.randn(5, 2, 3, dtype=dtype)

    def run(p, x):
        return functional_call(models[0], p, (x,))[0].square().sum()

    _close(vmap(run, (0, None))(parameters, x), torch.stack([_loss(m)(x) for m in models]))
    found = vmap(grad(run), (0, None))(parameters, x)
    for k, model in enumerate(models):
        _loss(model)(x).backward()
        for name, parameter in model.named_parameters():
            _close(found[name][k], parameter.grad)


@both
@cells
@rules
def test_forward_mode(cell, rule, dtype):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]()).to(dtype)
    x, direction = torch.randn(2, 5, 2, 3, dtype=dtype)
    expected = (grad(_loss(layer))(x) * direction).sum()
    _close(jvp(_loss(layer), (x,), (direction,))[1], expected)
    with forward_ad.dual_level():
        out = _loss(layer)(forward_ad.make_dual(x, direction))
        _close(forward_ad.unpack_dual(out).tangent, expected)


@cells
@rules
def test_hessians_both_ways(cell, rule):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]()).double()
    x = torch.randn(3, 2, 3, dtype=torch.float64)
    forward_over_reverse = hessian(_loss(layer))(x)
    _close(forward_over_reverse, jacrev(grad(_loss(layer)))(x))
    assert forward_over_reverse.abs().max() > 1e-4


@both
@cells
@rules
def test_gradients_in_batches(cell, rule, dtype):
    layer = CELLS[cell](3, 4, momentum=RULES[rule]()).to(dtype)
    x = torch.randn(5, 2, 3, dtype=dtype, requires_grad=True)
    inputs = [x, *layer.parameters()]
    out = layer(x)[0]
    pulled = torch.randn(3, *out.shape, dtype=dtype)
    found = torch.autograd.grad(out, inputs, pulled, retain_graph=True, is_grads_batched=True)
    each = [torch.autograd.grad(out, inputs, p, retain_graph=True) for p in pulled]
    for a, *b in zip(found, *each, strict=True):
        _close(a, torch.stack(b))


def test_vectorized_jacobians_and_hessians():
    layer, x = tnn.LSTM(3, 4, momentum=tnn.Momentum()), torch.randn(4, 1, 3)
    for differentiate, function in (
        (torch.autograd.functional.jacobian, lambda x: layer(x)[0]),
        (torch.autograd.functional.hessian, _loss(layer)),
    ):
        _close(differentiate(function, x, vectorize=True), differentiate(function, x))


def test_second_derivatives_in_batches():
    layer = tnn.GRU(3, 4, momentum=tnn.Adam())
    x = torch.randn(5, 2, 3, requires_grad=True)
    (pulled,) = torch.autograd.grad(layer(x)[0].square().sum(), x, create_graph=True)
    each = [
        torch.autograd.grad(pulled, x, torch.ones_like(x) * k, retain_graph=True)[0] for k in (1, 2)
    ]
    many = torch.stack([torch.ones_like(x), 2 * torch.ones_like(x)])
    (found,) = torch.autograd.grad(pulled, x, many, is_grads_batched=True)
    _close(found, torch.stack(each))
