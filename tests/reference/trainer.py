"""A training as one would write it by hand: what the engine must equal to the bit."""

import torch
from torch import nn


def train_by_hand(data, model, optimizer, *, epochs, clip=None, schedulers=()):
    """Trains in place; returns the mean training loss, test loss and test metric of each epoch."""
    history = []
    for epoch in range(epochs):
        losses = []
        data.train.epoch, data.train.start = epoch, 0
        for x, y in data.train:
            optimizer.zero_grad()
            loss = data.loss(model(x), y)
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        sums, count = [0.0, 0.0], 0
        with torch.no_grad():
            for x, y in data.test:
                output, size = model(x), x.shape[data.batch_dim]
                sums[0] += data.loss(output, y).double().item() * size
                sums[1] += data.metric(output, y).double().item() * size
                count += size
        model.train()
        history.append((sum(losses) / len(losses), sums[0] / count, sums[1] / count))
        for scheduler in schedulers:
            scheduler.step()
    return history
