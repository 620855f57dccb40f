import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize("start", [["-m", "torchmomentum"], ["torchmomentum"]])
def test_the_help_does_not_import_torch(start, tmp_path):
    if start == ["torchmomentum"]:  # as installed scripts are
        script = tmp_path / "torchmomentum"
        script.write_text("import sys; from torchmomentum.experiments.cli import main; main()")
        start = [str(script)]
    command = [sys.executable, "-X", "importtime", *start, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "torchmomentum.experiments.cli.entry" in imported
    assert "torch" not in imported


def test_exported_programs_load_after_this_import_alone(tmp_path):
    """Whatever is imported before or after."""
    layer, x = torchmomentum.nn.MomentumLSTM(2, 3), torch.randn(4, 1, 2)
    torch.export.save(torch.export.export(layer, (x,)), tmp_path / "layer.pt2")
    torch.save((x, layer(x)[0]), tmp_path / "expected.pt")
    code = """
import torchmomentum
from torch import allclose, export, load
x, expected = load("expected.pt")
assert allclose(export.load("layer.pt2").module()(x)[0], expected, atol=1e-6)
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=tmp_path)


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
