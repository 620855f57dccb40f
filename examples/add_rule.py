"""A momentum rule of your own in one file: an average with bias correction, in every cell.

torchmomentum --use examples/add_rule.py compare pdigits --models lstm,average-lstm
"""

import torch
from torch import nn

import torchmomentum as tm
from torchmomentum.experiments import register


class Average(tm.nn.Rule):
    """``v_t = mu v_{t-1} + (1 - mu) d_t``, ``y_t = v_t / (1 - mu^t)``: a mean of all drives."""

    linear = True  # so that a layer may run it on its input, which is narrower than the gates

    def __init__(self, mu=0.9):
        super().__init__()
        self.mu = mu

    def initial_state(self, batch_size, width, **options):
        """Nothing seen, and the weight of what was."""
        return torch.zeros(batch_size, width, **options), torch.zeros(batch_size, 1, **options)

    def step(self, drive, state):
        """One step."""
        v, seen = (self.mu * part for part in state)
        v, seen = v + (1 - self.mu) * drive, seen + (1 - self.mu)
        return v / seen, (v, seen)


def by_hand(layer, x, mu):
    """An LSTM that reads these averages, in a loop."""
    h = c = torch.zeros(x.shape[1], layer.hidden_size)
    drives = x @ layer.weight_ih_l0.T + layer.bias_ih_l0
    for t in range(len(x)):
        weight = mu ** torch.arange(t, -1.0, -1.0).view(-1, 1, 1)
        y = (weight * drives[: t + 1]).sum(0) / weight.sum()
        i, f, g, o = (y + h @ layer.weight_hh_l0.T + layer.bias_hh_l0).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
    return h


register("rule", "average", Average)  # for the command line, with --use


def main():
    """Against a loop by hand; trained; step by step."""
    torch.manual_seed(0)
    rnn, out = tm.nn.LSTM(2, 32, momentum=Average(0.9)), nn.Linear(32, 1)
    x = torch.rand(20, 16, 2)
    torch.testing.assert_close(rnn(x)[0][-1], by_hand(rnn, x, 0.9))

    optimizer = torch.optim.Adam([*rnn.parameters(), *out.parameters()], lr=1e-2)
    for i in range(101):
        x = torch.rand(20, 16, 2)
        target = x[:, :, 0].mean(0).unsqueeze(-1)
        loss = nn.functional.mse_loss(out(rnn(x)[0][-1]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if i % 50 == 0:
            print(f"step {i}: loss {loss.item():.4f}")

    for layer_type, cell_type in (
        (tm.nn.LSTM, tm.nn.LSTMCell),
        (tm.nn.GRU, tm.nn.GRUCell),
        (tm.nn.RNN, tm.nn.RNNCell),
    ):
        layer, cell = layer_type(2, 8, momentum=Average()), cell_type(2, 8, momentum=Average())
        cell.load_state_dict(
            {name.removesuffix("_l0"): p for name, p in layer.state_dict().items()}
        )
        first, state = layer(x[:7], layer.initial_state(16))  # streaming: the average goes on too
        second, _ = layer(x[7:], state)
        whole, _ = layer(x)
        torch.testing.assert_close(torch.cat([first, second]), whole)
        hidden = momentum = None
        for x_t in x:
            h, hidden, momentum = cell(x_t, hidden, momentum)
        torch.testing.assert_close(h, whole[-1])
        print(f"{layer_type.__name__}: a sequence in two parts and step by step are the whole")


if __name__ == "__main__":
    main()
