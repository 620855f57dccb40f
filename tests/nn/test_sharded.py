"""Layers under ``fully_shard`` (FSDP2): two processes train as one does, learned rules too."""

import copy
import warnings

import pytest
import torch
import torch.distributed
import torch.multiprocessing

import torchmomentum.nn as tnn

WORLD = 2


def _train(model, x, optimizer):
    for _ in range(3):
        model(x)[0].square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()


def _run(rank, folder, learnable):
    warnings.simplefilter("ignore")  # PyTorch's own
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=WORLD)
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    torch.manual_seed(0)
    rule = tnn.Adam(0.6, 0.5, 0.9, learnable=learnable)
    model = tnn.LSTM(3, 4, momentum=rule).double()
    alone, before = copy.deepcopy(model), copy.deepcopy(model)
    x = torch.randn(5, 2 * WORLD, 3, dtype=torch.float64)
    fully_shard(model, mesh=init_device_mesh("cpu", (WORLD,)))
    _train(model, x[:, 2 * rank : 2 * rank + 2], torch.optim.SGD(model.parameters(), 5.0))
    _train(alone, x, torch.optim.SGD(alone.parameters(), 5.0))
    assert ("mu=?" in repr(model)) == learnable
    for found, expected, first in zip(
        model.parameters(), alone.parameters(), before.parameters(), strict=True
    ):
        torch.testing.assert_close(found.full_tensor(), expected.detach())
        assert (expected - first).abs().max() > 1e-4
    if not learnable:  # for once
        _run_orthogonal(x)
    torch.distributed.destroy_process_group()


def _run_orthogonal(x):
    """In these processes: without rebases they train as one does, with them they are told.

    A layer that is whole is rebased here too, wherever its parameters were moved from.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    mesh, rank = init_device_mesh("cpu", (WORLD,)), torch.distributed.get_rank()
    model = tnn.OrthogonalRNN(3, 4, rebase_every=None).double()
    alone = copy.deepcopy(model)
    fully_shard(model, mesh=mesh)
    _train(model, x[:, 2 * rank : 2 * rank + 2], torch.optim.SGD(model.parameters(), 1.0))
    _train(alone, x, torch.optim.SGD(alone.parameters(), 1.0))
    for found, expected in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(found.full_tensor(), expected.detach())
    assert alone.orthogonal[0].tangent.abs().max() > 1e-4
    rebased = tnn.OrthogonalRNN(3, 4).double()
    rebased(x)[0].sum().backward()
    fully_shard(rebased, mesh=mesh)
    rebased.state_dict()
    with pytest.raises(RuntimeError, match=r"under fully_shard.*: set rebase_every=None"):
        rebased(x)
    whole = tnn.OrthogonalRNN(3, 4).double()
    moved = tnn.OrthogonalRNN(3, 4, device="meta").double().to_empty(device="cpu")
    with torch.no_grad():
        for found, given in zip(
            moved.state_dict().values(), whole.state_dict().values(), strict=True
        ):
            found.copy_(given)
    torch.testing.assert_close(moved(x)[0], whole(x)[0])


@pytest.mark.parametrize("learnable", [True, False])
def test_two_processes_train_as_one(learnable, tmp_path):
    torch.multiprocessing.spawn(_run, (tmp_path, learnable), nprocs=WORLD)


def test_learned_scalars_of_older_versions_are_loaded():
    layer = tnn.LSTM(3, 4, momentum=tnn.Momentum(0.6, 0.5, learnable=True))
    state = layer.state_dict()
    state["momentum.logit_mu"] = torch.tensor(0.25)
    state["momentum.log_step_size"] = torch.tensor(-1.0)
    layer.load_state_dict(state)
    assert layer.momentum.mu.item() == pytest.approx(torch.tensor(0.25).sigmoid().item())
    assert layer.momentum.step_size.item() == pytest.approx(torch.tensor(-1.0).exp().item())
    assert layer.momentum.mu.shape == ()
