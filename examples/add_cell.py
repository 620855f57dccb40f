"""A cell of your own in one file: the minimal gated unit, with every rule and option of a layer.

torchmomentum --use examples/add_cell.py compare pdigits --models mgu,adam-mgu --controls
"""

import torch
from torch import nn

import torchmomentum as tm
from torchmomentum.experiments import register
from torchmomentum.ops.cells import Cell, recurrent


def step(pre, state, weights, operand, modifiers):
    """``f = sigmoid(W_f x + U_f h)``, ``h' = h + f * (tanh(W_n x + f * U_n h) - h)``."""
    forget_in, new_in = pre.chunk(2, -1)
    forget_h, new_h = recurrent(weights, operand, modifiers).chunk(2, -1)
    forget = torch.sigmoid(forget_in + forget_h)
    return (state[0] + forget * (torch.tanh(new_in + forget * new_h) - state[0]),)


class MGU(tm.nn.Recurrent):
    """The layer: stacks, directions, packed input, lengths, streaming, compiling, state dicts."""

    cell = Cell("MGU", gates=2, step=step)


class MGUCell(tm.nn.RecurrentCell):
    """One step of it."""

    cell = MGU.cell


def by_hand(layer, x):
    """The same with constant momentum, in a loop."""
    h, v = torch.zeros(x.shape[1], layer.hidden_size), 0.0
    for x_t in x:
        v = layer.momentum.mu * v + x_t @ layer.weight_ih_l0.T + layer.bias_ih_l0
        hidden = h @ layer.weight_hh_l0.T + layer.bias_hh_l0
        (forget, new), (forget_h, new_h) = v.chunk(2, -1), hidden.chunk(2, -1)
        forget = torch.sigmoid(forget + forget_h)
        h = (1 - forget) * h + forget * torch.tanh(new + forget * new_h)
    return h


register("cell", "mgu", MGU)  # for the command line, with --use


def main():
    """Against a loop by hand; trained; step by step."""
    torch.manual_seed(0)
    rnn, out = MGU(2, 32, momentum=tm.nn.Momentum(0.6, 1.0)), nn.Linear(32, 1)
    x = torch.rand(10, 16, 2)
    torch.testing.assert_close(rnn(x)[0][-1], by_hand(rnn, x))

    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=1e-2)
    for i in range(101):
        x = torch.rand(10, 16, 2)
        target = x[:, :, 0].mean(0).unsqueeze(-1)
        loss = nn.functional.mse_loss(out(rnn(x)[0][-1]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 50 == 0:
            print(f"step {i}: loss {loss.item():.4f}")

    cell, hidden, momentum = MGUCell(2, 32, momentum=rnn.momentum), None, None
    cell.load_state_dict({name.removesuffix("_l0"): p for name, p in rnn.state_dict().items()})
    for x_t in x:
        h, hidden, momentum = cell(x_t, hidden, momentum)
    torch.testing.assert_close(h, rnn(x)[0][-1])
    two = MGU(2, 32, 2, bidirectional=True, zoneout=0.1, layer_norm=True, momentum=tm.nn.Adam())
    print(f"two layers, both ways: {tuple(two(x, lengths=torch.randint(1, 11, (16,)))[0].shape)}")


if __name__ == "__main__":
    main()
