import ast
import json
import subprocess
import sys
from pathlib import Path

import torchmomentum

_HEAVY = (
    "lightning",
    "lightning_fabric",
    "matplotlib",
    "plotly",
    "rich",
    "sklearn",
    "scipy",
    "numpy.testing",
    "tensorboard",
)


def _modules_after(statement: str) -> list[str]:
    code = f"{statement}; import sys, json; print(json.dumps(list(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def test_the_core_needs_torch_alone():
    extra = set(
        _modules_after("import torchmomentum.nn, torchmomentum.optim, torchmomentum.testing")
    )
    extra -= set(_modules_after("import torch"))
    assert not [name for name in extra if name.partition(".")[0] in _HEAVY]
    assert not [name for name in extra if name.startswith("torchmomentum.experiments")]
    # the compiler takes longer to import than all the rest
    assert not extra & {"torch._dynamo", "triton"}


def test_the_help_does_not_import_torch():
    assert "torch" not in _modules_after("import torchmomentum.experiments.cli")


def test_experiments_import_no_plotting():
    statement = "import torchmomentum.experiments, torchmomentum.experiments.report.html.page"
    loaded = {name.partition(".")[0] for name in _modules_after(statement)}
    assert not loaded & {"plotly", "matplotlib", "tensorboard"}


def test_subpackages_come_by_attribute():
    import torchmomentum as tm

    assert tm.nn.MomentumLSTM.__name__ == "MomentumLSTM"
    assert tm.optim.SRSGD.__name__ == "SRSGD"
    assert "nn" in dir(tm)


def _private_names(path):
    """Names of PyTorch's that begin with an underscore, in imports and dotted names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "torch":
            yield from (alias.name for alias in node.names if alias.name.startswith("_"))
        elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and node.attr[1] != "_":
            dotted = ast.unparse(node)
            if dotted.startswith("torch."):
                yield dotted


def test_private_names_of_pytorch_stand_in_one_file():
    source = Path(torchmomentum.__file__).parent
    found = {path.name for path in source.rglob("*.py") if list(_private_names(path))}
    assert found == {"_torch_private.py"}
