"""Several processes train one run: as one does on the same batches, and what is refused."""

import math
import os
import socket
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import torch.multiprocessing

from torchmomentum.experiments.engine import compute as engine
from torchmomentum.experiments.engine import devices
from torchmomentum.experiments.engine.compute import compute, folder_of
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.engine.pool import compute_all
from torchmomentum.experiments.engine.processes import is_first_process
from torchmomentum.experiments.engine.run import TrainingRun
from torchmomentum.experiments.errors import UsageError
from torchmomentum.experiments.recipe import Training
from torchmomentum.experiments.registry import TASKS
from torchmomentum.experiments.studies.training import training_recipe
from torchmomentum.experiments.tasks.own import OwnData

from ..stopping import Stop, stop_at, train, weights

WORLD = 2
SMALL = {"hidden_size": 4, "threads": 1, "precision": "float64", "clip": 0.1}


def _recipe(task="adding", **changes):
    """Batches of 7 samples: two processes have 4 and 3 of them."""
    settings = {"task": task, "model": "momentum-lstm", "optimizer": "adam", **SMALL}
    if task == "adding":
        settings |= {"length": 6, "steps_per_epoch": 4, "epochs": 2, "batch_size": 7}
    return training_recipe({**settings, **changes}, 0)


def _own(broken=False):
    """Sequences of unequal lengths: a mean over what is known is none over samples."""
    drawn = torch.Generator().manual_seed(0)
    batches = []
    for i in range(4):
        x = torch.randn(5, 6, 3, generator=drawn)
        x = x * math.nan if broken and i == 2 else x
        y = torch.randint(0, 2, (5, 6), generator=drawn)
        batches.append((x, torch.tensor([1, 6, 2, 5, 3]), y))
    return OwnData(batches, batches[:1], each_step=True)


CASES = {
    "ddp": _recipe(),
    "fsdp2": _recipe(strategy="fsdp2"),
    "accumulated": _recipe(accumulate=3),
    "lengths": ("own", {"epochs": 2}),
    "skipped": ("broken", {"epochs": 2, "on_nonfinite": "skip"}),
    "raised": ("broken", {"epochs": 2}),
    "sharded and skipped": ("broken", {"epochs": 2, "on_nonfinite": "skip", "strategy": "fsdp2"}),
}


def _tasks():
    return TASKS.lend({"own": _own(), "broken": _own(broken=True)})


def _of(case):
    found = CASES[case]
    return found if isinstance(found, Training) else _recipe(found[0], **found[1])


def _port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def _share_late(rank, place):
    """The first process writes its results late: the other is not to miss them."""
    write = engine.write_json
    if rank == 0:
        engine.write_json = lambda *given: time.sleep(0.3) or write(*given)
    recipes = [replace(_recipe(init_seed=seed, epochs=1), devices=WORLD) for seed in (0, 1)]
    for several in (recipes[:1], recipes):
        compute_all(several, place, quiet=True)
    engine.write_json = write


def _process(rank, folder, port):
    warnings.simplefilter("ignore")  # Lightning's and PyTorch's own
    as_torchrun = {"TORCHELASTIC_RUN_ID": "x", "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}
    as_torchrun |= {"WORLD_SIZE": WORLD, "LOCAL_WORLD_SIZE": WORLD, "MASTER_ADDR": "127.0.0.1"}
    os.environ |= {name: str(v) for name, v in {**as_torchrun, "MASTER_PORT": port}.items()}
    with _tasks():
        for case in CASES:
            compute(replace(_of(case), devices=WORLD), Place(folder / case))
        _share_late(rank, Place(folder / "late"))
        # and stopped by one of them, and gone on with
        recipe, place = replace(_of("fsdp2"), devices=WORLD), Place(folder / "cut")
        with suppress(Stop):
            compute(recipe, place, stop_at(5))
        compute(recipe, place)
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def by_two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    torch.multiprocessing.spawn(_process, (folder, _port()), nprocs=WORLD)
    return folder


def _found(recipe, place):
    return compute(recipe, place), weights(folder_of(recipe, place))


@pytest.mark.parametrize("case", [case for case in CASES if case != "raised"])
def test_two_processes_train_as_one(case, by_two, tmp_path):
    """The same batches: the same weights and curves, to rounding in float64."""
    with _tasks():
        recipe = replace(_of(case), strategy="ddp", accumulate=1)
        expected, state = train(recipe, Place(tmp_path))
        found, theirs = _found(replace(_of(case), devices=WORLD), Place(by_two / case))
    assert found.curves["step"] == expected.curves["step"]
    for name in ("train_loss", "test_loss", "test_metric"):
        assert found.curves[name] == pytest.approx(expected.curves[name], rel=1e-9)
    assert theirs.keys() == state.keys()
    for name, value in state.items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(theirs[name], value, rtol=1e-8, atol=1e-10)
    assert found.costs["parameters"] == expected.costs["parameters"]
    assert found.costs.get("skipped_steps") == expected.costs.get("skipped_steps")


def test_they_agree_on_what_is_done(by_two):
    assert len(list(by_two.glob("late/*/result.json"))) == 2


def test_they_diverge_together(by_two, tmp_path):
    with _tasks():
        expected = compute(_of("raised"), Place(tmp_path))
        found = compute(replace(_of("raised"), devices=WORLD), Place(by_two / "raised"))
    assert "at step 3 (epoch 1): loss nan; all parameters are finite" in found.failed
    assert found.failed == expected.failed


def test_a_sharded_run_goes_on(by_two):
    recipe = replace(_of("fsdp2"), devices=WORLD)
    _, expected = _found(recipe, Place(by_two / "fsdp2"))
    _, found = _found(recipe, Place(by_two / "cut"))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-14)


def test_another_number_of_processes_goes_on(by_two, tmp_path, caplog):
    """From a run of two that was stopped, on one."""
    recipe, place = replace(_of("fsdp2"), devices=WORLD), Place(tmp_path, resume=True)
    source, target = folder_of(recipe, Place(by_two / "fsdp2")), folder_of(recipe, place)
    target.mkdir(parents=True)
    for name in ("recipe.json", "step-000000004.ckpt"):
        (target / name).write_bytes((source / name).read_bytes())
    steps, alone = [], replace(_of("fsdp2"), strategy="ddp")
    found = compute(alone, place, lambda words, step, of: steps.append(step))
    assert steps == [5, 6, 7, 8]
    (told,) = caplog.messages
    assert told == f"the run goes on from {target / 'step-000000004.ckpt'}, of other devices"
    expected, state = train(alone, Place(tmp_path / "whole"))
    for name, value in weights(folder_of(alone, place)).items():
        torch.testing.assert_close(value, state[name], rtol=1e-8, atol=1e-10)
    assert found.curves["test_loss"] == pytest.approx(expected.curves["test_loss"], rel=1e-9)
    other = replace(alone, init_seed=1)
    compute(other, place, lambda words, step, of: steps.append(step))
    assert steps[4:] == list(range(1, 9))  # another training begins anew


@pytest.mark.parametrize("accumulate", [2, 7])
@pytest.mark.parametrize("task", ["adding", "own", "copying"])
def test_accumulated_gradients_are_those_of_the_batch(tmp_path, accumulate, task):
    sizes = {"copying": {"length": 4, "steps_per_epoch": 3, "epochs": 1, "batch_size": 7}}
    accumulate = min(accumulate, 5) if task == "own" else accumulate
    with _tasks():
        recipe = _recipe(task, **sizes.get(task, {}))
        whole, state = train(recipe, Place(tmp_path / "whole"))
        found, theirs = train(replace(recipe, accumulate=accumulate), Place(tmp_path / "parts"))
    for name, value in state.items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-8, atol=1e-10)
    assert found.curves["train_loss"] == pytest.approx(whole.curves["train_loss"], rel=1e-9)


@pytest.mark.parametrize(("sharded", "sizes"), [(False, [2, 1]), (True, [4, 3])])
def test_a_process_trains_on_its_part(sharded, sizes):
    """Of a whole batch: the second of two has 3 samples of 7, in two passes."""
    data = SimpleNamespace(train=SimpleNamespace(sharded=sharded), batch_dim=1, each_step=False)
    run = SimpleNamespace(
        fabric=SimpleNamespace(world_size=2, global_rank=1),
        recipe=SimpleNamespace(accumulate=2),
        data=data,
    )
    found = TrainingRun.passes(run, torch.randn(5, 7, 3), torch.arange(7))
    assert [len(target) for _, target in found] == sizes
    assert [x.shape[1] for x, _ in found] == sizes
    seen = sorted(torch.cat([target for _, target in found]).tolist())
    assert seen == (list(range(7)) if sharded else [1, 3, 5])


@pytest.mark.parametrize("others", [0.0, 1.0])
def test_a_gradient_of_another_process_counts(others):
    model = torch.nn.Linear(1, 1)
    run = SimpleNamespace(
        model=SimpleNamespace(module=model), _over_processes=lambda mine: [mine + others]
    )
    assert TrainingRun._is_whole(run, 1.0) is (others == 0.0)


def test_a_batch_that_is_too_small_is_refused(tmp_path):
    with pytest.raises(UsageError, match="a batch of 7 cannot be split into 8"):
        compute(_recipe(accumulate=8), Place(tmp_path))


def test_a_state_that_goes_on_is_not_split(tmp_path):
    recipe = training_recipe({"task": "synthetic-words", "model": "awd-lstm", "accumulate": 2}, 0)
    with pytest.raises(UsageError, match="devices and accumulate must be 1 for a task whose state"):
        compute(recipe, Place(tmp_path))


def test_float16_scales_its_gradients_and_goes_on(tmp_path):
    """On a CPU a user is refused: not every layer runs there."""
    recipe = _recipe(precision="float16")
    expected, state = train(recipe, Place(tmp_path / "whole"))
    exact, _ = train(replace(recipe, precision="float32"), Place(tmp_path / "exact"))
    difference = expected.curves["test_loss"][-1] - exact.curves["test_loss"][-1]
    assert 0 < abs(difference) < 0.05
    place = Place(tmp_path / "cut", checkpoint_every=1)
    with pytest.raises(Stop):
        train(recipe, place, stop_at(4))
    _, found = train(recipe, place)
    for name, value in state.items():
        assert torch.equal(found[name], value)


@pytest.mark.parametrize(
    ("environment", "changes", "message"),
    [
        ({}, {"strategy": "fsdp2"}, "strategy fsdp2 needs several devices; give --devices"),
        ({}, {"strategy": "dp"}, "unknown strategy 'dp'"),
        ({}, {"nodes": 2}, "nodes 2 needs torchrun, or MASTER_ADDR, MASTER_PORT, NODE_RANK set"),
        (
            {},
            {"precision": "float16", "on_nonfinite": "skip"},
            "on_nonfinite must be raise with float16",
        ),
        ({}, {"precision": "float16"}, "precision float16 needs device cuda; use bfloat16"),
        (
            {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "4"},
            {"devices": 2},
            "torchrun started 4 processes, and devices x nodes is 2: give --devices and --nodes",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(environment, changes, message, monkeypatch, tmp_path):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as error:
        replace(_recipe(), **changes).check(Place(tmp_path))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("environment", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1"}, False),
        ({"RANK": "1"}, True),  # somebody else's
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"TORCHELASTIC_RUN_ID": "x", "RANK": "2", "LOCAL_RANK": "0"}, False),
    ],
)
def test_the_first_process_is_known(environment, first, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first


@pytest.mark.parametrize(
    ("given", "strategy"),
    [({}, "auto"), ({"devices": 3}, "ddp"), ({"nodes": 2}, "ddp"), ({"strategy": "fsdp2"}, None)],
)
def test_as_many_processes_as_devices(given, strategy, monkeypatch):
    asked = {}
    fabric = SimpleNamespace(launch=lambda: None)
    monkeypatch.setattr(devices, "Fabric", lambda **options: asked.update(options) or fabric)
    assert devices.launch(Training("x", "lstm", "adam", **given)) is fabric
    assert (asked["devices"], asked["num_nodes"]) == (
        given.get("devices", 1),
        given.get("nodes", 1),
    )
    assert asked["accelerator"] == "cpu"
    if strategy is None:
        assert isinstance(asked["strategy"], devices.ModelParallelStrategy)
    else:
        assert asked["strategy"] == strategy


@pytest.mark.slow
def test_torchrun_starts_the_command_line(tmp_path):
    """One process speaks; the run is found by the same recipe afterwards."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--master-port", str(_port()), "-m", "torchmomentum.experiments.cli"),
        *("train", "adding", "--model", "lstm", "--steps", "4", "--length", "6"),
        *("--hidden-size", "4", "--batch-size", "8", "--threads", "1", "--out", str(tmp_path)),
        *("--devices", "2", "--quiet"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"PYTHONWARNINGS": "ignore"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("adding lstm: test ") == 1
    assert len(list(tmp_path.glob("runs/*/result.json"))) == 1
