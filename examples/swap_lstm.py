"""One line changed: ``nn.LSTM`` becomes ``MomentumLSTM``, and training goes on from its weights."""

import torch
from torch import nn

import torchmomentum as tm

torch.manual_seed(0)
model = nn.ModuleDict({"rnn": nn.LSTM(2, 32, batch_first=True), "out": nn.Linear(32, 1)})
momentum = tm.nn.MomentumLSTM(2, 32, batch_first=True, mu=0.6, step_size=0.6)
momentum.load_state_dict(model["rnn"].state_dict())
model["rnn"] = momentum

optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
for step in range(101):
    x = torch.rand(16, 20, 2)
    target = x[:, :, 0].mean(1, keepdim=True)
    out, _ = model["rnn"](x)
    loss = nn.functional.mse_loss(model["out"](out[:, -1]), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 50 == 0:
        print(f"step {step}: loss {loss.item():.4f}")

state = momentum.initial_state(16)  # streaming: the momentum goes on too
for chunk in torch.rand(16, 20, 2).split(5, dim=1):
    out, state = momentum(chunk, state)
print(f"streamed: {len(state)} parts of state, momentum {tuple(state[2][0].velocity.shape)}")
