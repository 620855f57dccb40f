"""Differentially private training with Opacus: ``pip install opacus`` first.

Opacus needs the gradient of each sample. Our layers have them by ``torch.func``: a sampler of a few
lines says so to Opacus.
"""

import warnings

import torch
from opacus import PrivacyEngine
from opacus.grad_sample import register_grad_sampler
from torch import nn

import torchmomentum as tm


class WithoutHooks(nn.Module):
    """A layer without Opacus's own hooks."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        """The outputs alone."""
        return self.layer.forward(x)[0]


@register_grad_sampler(tm.nn.MomentumLSTM)
def per_sample(layer, activations, backprops):
    """The gradients of each sample, of what the outputs' gradients are."""
    plain = WithoutHooks(layer)
    parameters = dict(plain.named_parameters())

    def through(values, x, grad):
        out = torch.func.functional_call(plain, values, (x.unsqueeze(0),))
        return (out * grad.unsqueeze(0)).sum()

    of_each = torch.func.vmap(torch.func.grad(through), in_dims=(None, 0, 0))
    values = {name: p.detach() for name, p in parameters.items()}
    found = of_each(values, activations[0], backprops)
    return {parameter: found[name] for name, parameter in parameters.items()}


class Classifier(nn.Module):
    """Reads the outputs: what goes through the last state has no gradient of a sample."""

    def __init__(self):
        super().__init__()
        self.rnn = tm.nn.MomentumLSTM(2, 16, batch_first=True, mu=0.6)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        """Whether a sequence's first feature is positive on the average."""
        return self.out(self.rnn(x)[0].mean(1)).squeeze(1)


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # Opacus's, of random numbers that are not cryptographic
    torch.manual_seed(0)
    x = torch.randn(512, 10, 2)
    y = (x[:, :, 0].mean(1) > 0).float()
    model = Classifier()
    engine = PrivacyEngine()
    model, optimizer, loader = engine.make_private(
        module=model,
        optimizer=torch.optim.Adam(model.parameters(), 0.01),
        data_loader=torch.utils.data.DataLoader(
            torch.utils.data.TensorDataset(x, y), batch_size=64
        ),
        noise_multiplier=1.0,
        max_grad_norm=1.0,
    )
    for _ in range(15):
        for inputs, targets in loader:
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(inputs), targets).backward()
            optimizer.step()
    accuracy = ((model(x) > 0) == (y > 0)).float().mean().item()
    print(f"accuracy {accuracy:.3f} at epsilon {engine.get_epsilon(1e-5):.1f}, delta 1e-5")
