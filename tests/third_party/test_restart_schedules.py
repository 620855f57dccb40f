"""Whatever calls PyTorch's schedulers calls ours: intervals seen by each step of each program."""

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from torchmomentum.optim import SRSGD, RestartScheduler

pytestmark = pytest.mark.filterwarnings("default")  # the programs have warnings of their own

# two epochs of three steps; the second epoch is the second stage
EXPECTED = [3] * 3 + [5] * 3


class Watched(SRSGD):
    def __init__(self, params, lr=0.1, seen=None):
        super().__init__(params, lr, restart_every=7)
        self.seen = [] if seen is None else seen

    def step(self, closure=None):
        self.seen.append(self.param_groups[0]["restart_every"])
        return super().step(closure)


def _data():
    torch.manual_seed(0)
    return TensorDataset(torch.randn(6, 3), torch.randn(6, 1))


def test_lightning(tmp_path):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def training_step(self, batch, _):
            return (self.layer(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self):
            self.optimizer = Watched(self.parameters())
            return [self.optimizer], [RestartScheduler(self.optimizer, [1], [3, 5])]

    def trainer(epochs):
        return lightning.Trainer(
            max_epochs=epochs,
            accelerator="cpu",
            default_root_dir=tmp_path,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
        )

    module = Module()
    whole = trainer(2)
    whole.fit(module, DataLoader(_data(), 2))
    assert module.optimizer.seen == EXPECTED
    half = trainer(1)
    half.fit(Module(), DataLoader(_data(), 2))
    half.save_checkpoint(tmp_path / "half.ckpt")
    resumed = Module()
    trainer(2).fit(resumed, DataLoader(_data(), 2), ckpt_path=tmp_path / "half.ckpt")
    assert resumed.optimizer.seen == EXPECTED[3:]


def test_hugging_face_trainer(tmp_path):
    transformers = pytest.importorskip("transformers")

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, 1)

        def forward(self, x, labels):
            return {"loss": (self.layer(x) - labels).square().mean()}

    module = Module()
    optimizer = Watched(module.parameters())
    # the Trainer calls a scheduler after every step
    scheduler = RestartScheduler(optimizer, [3], [3, 5])
    transformers.Trainer(
        module,
        transformers.TrainingArguments(
            str(tmp_path),
            num_train_epochs=2,
            per_device_train_batch_size=2,
            report_to=[],
            use_cpu=True,
            disable_tqdm=True,
        ),
        train_dataset=[{"x": x, "labels": y} for x, y in _data()],
        optimizers=(optimizer, scheduler),
    ).train()
    assert optimizer.seen == EXPECTED


def test_skorch():
    skorch = pytest.importorskip("skorch")
    from skorch.callbacks import LRScheduler

    seen = []
    net = skorch.NeuralNetRegressor(
        torch.nn.Linear,
        module__in_features=3,
        module__out_features=1,
        optimizer=Watched,
        optimizer__seen=seen,
        batch_size=2,
        max_epochs=2,
        train_split=None,
        verbose=0,
        callbacks=[LRScheduler(RestartScheduler, milestones=[1], restart_every=[3, 5])],
    )
    net.fit(*(tensor.numpy() for tensor in _data().tensors))
    assert seen == EXPECTED


def test_accelerate():
    accelerate = pytest.importorskip("accelerate")
    module = torch.nn.Linear(3, 1)
    optimizer = Watched(module.parameters())
    scheduler = RestartScheduler(optimizer, [3], [3, 5])
    accelerator = accelerate.Accelerator(cpu=True)
    module, wrapped, loader, schedule = accelerator.prepare(
        module, optimizer, DataLoader(_data(), 2), scheduler
    )
    assert type(schedule).__name__ == "AcceleratedScheduler"
    for _ in range(2):
        for x, y in loader:
            accelerator.backward((module(x) - y).square().mean())
            wrapped.step()
            schedule.step()
            wrapped.zero_grad()
    assert optimizer.seen == EXPECTED
    assert RestartScheduler(wrapped, [3], [3, 5]).get_last_restart_every() == [3]
