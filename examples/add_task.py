"""A task of your own in one file: the parity of random bits, with every model and from any command.

torchmomentum compare examples/add_task.py:Parity --models gru,rmsprop-gru --seeds 3
torchmomentum --use examples/add_task.py list
"""

import torch
from torch.nn.functional import cross_entropy

from torchmomentum.experiments import Task, compare, register
from torchmomentum.experiments.report.document import document
from torchmomentum.experiments.tasks import accuracy, generated_task


class Parity(Task):
    """Whether the number of ones among some bits is odd."""

    title = "parity of random bits"
    metric, higher_is_better = "accuracy", True
    options = {"length": 3, "steps_per_epoch": 100}
    recipe = {"optimizer": "adam", "lr": 0.02, "batch_size": 64, "epochs": 5, "hidden_size": 32}
    scales = {"smoke": {"epochs": 1, "steps_per_epoch": 5}, "paper": {"length": 20, "epochs": 100}}
    rules = {"momentum": {"mu": 0.3, "step_size": 1.0}}

    def load(self, recipe, folder, *, offline=False):
        """The batches of this task; nothing is read from ``folder``."""

        def draw(count, length, generator):
            bits = (torch.rand(length, count, generator=generator) < 0.5).float()  # (T, B)
            return 2 * bits.unsqueeze(-1) - 1, bits.sum(0).long() % 2

        return generated_task(
            recipe,
            draw,
            least=1,
            loss=cross_entropy,
            metric=accuracy,
            metric_name=self.metric,
            higher_is_better=True,
            input_size=1,
            output_size=2,
        )


register("task", "parity", Parity)

if __name__ == "__main__":
    results = compare("parity", ["gru", "momentum-gru"], seeds=1, threads=1, quiet=True)
    print(document(results))
    assert all(run.values["last"] > 0.9 for run in results.runs)  # chance is 0.5
