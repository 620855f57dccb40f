"""``SRSGD`` in the place of ``optim.SGD``, its restarts lengthened, on real digits."""

import torch
from torch import nn

import torchmomentum as tm
from torchmomentum.experiments.data.digits import load_digits

torch.manual_seed(0)
images, labels, test_images, test_labels = load_digits()
model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
optimizer = tm.optim.SRSGD(model.parameters(), lr=0.1, weight_decay=5e-4, restart_every=10)
restarts = tm.optim.RestartScheduler.linear(optimizer, milestones=[10, 20], first=10, increment=10)

for _ in range(30):
    for chosen in torch.randperm(len(images)).split(64):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()
    restarts.step()
accuracy = (model(test_images).argmax(1) == test_labels).float().mean().item()
interval = optimizer.param_groups[0]["restart_every"]
print(f"test accuracy {accuracy:.3f}, restart every {interval} iterations")
