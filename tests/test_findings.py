"""What the pages tell of the findings' studies is what was recorded."""

from pathlib import Path
from statistics import fmean

from torchmomentum.experiments.engine.compute import compute
from torchmomentum.experiments.engine.place import Place
from torchmomentum.experiments.report.judgement import judged
from torchmomentum.experiments.report.statistics import paired_difference
from torchmomentum.experiments.studies.run import load_results
from torchmomentum.experiments.studies.trivial import Trivial

ROOT = Path(__file__).parents[1]
GAIN, AT_ITS_GAIN = "gain-lstm@gain=8", "momentum-lstm@mu=0.6@step_size=3.2"


def _page(name):
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def _model(arm):
    """What an arm's model is called without its learning rate."""
    return arm["model"].rpartition("@lr=")[0]


def _recorded(study):
    """A study's results, and what each model reached with each seed."""
    found = load_results(ROOT / "results" / study)
    arms = found.arms()
    return found, {_model(a): [run.values["chosen"] for run in found.of(a)] for a in arms}


def _means(chosen):
    return {name: fmean(values) for name, values in chosen.items()}


def _at_the_greatest_rate(found):
    """How many arms are best there."""
    rates = [arm["model"].rpartition("@lr=")[2] for arm in found.arms()]
    return rates.count(str(max(found.view["tried"])))


def test_the_seeds_that_solve_adding_are_those_that_the_findings_tell():
    _, chosen = _recorded("findings-adding")
    solved = {name: sum(error < 0.01 for error in errors) for name, errors in chosen.items()}
    told = {
        "lstm": 7,
        "gain-lstm@gain=8": 9,
        "gain-lstm@gain=20": 10,
        "gain-lstm@gain=8@forget_bias=0.4444": 10,
        "momentum-lstm@mu=0.6@step_size=3.2@forget_bias=0.4444": 10,
        "lstm@forget_bias=21": 3,
        "momentum-lstm": 0,
        "momentum-lstm@mu=0.6@step_size=3.2": 4,
        "rmsprop-lstm": 10,
        "standardized-lstm": 10,
        "rms-lstm": 10,
        "lstm@init=paper-unit": 10,
    }
    assert {name: solved[name] for name in told} == told
    words = "solves it with 7 of ten seeds, with a gain of 8 with 9, momentum with 0"
    assert words in _page("findings")


def test_digits_are_what_the_findings_tell():
    found, chosen = _recorded("findings-digits")
    told = _page("findings").partition("- Permuted digits: ")[2].partition("\n- ")[0]
    told = " ".join(told.split())
    mean = _means(chosen)
    arms = {_model(each.arm): each for each in judged(found)}
    assert {each.verdict for each in arms.values()} == {"", "not separable"}
    for name, words in {
        "lstm": "the plain LSTM has {:.3f}",
        "gain-lstm@gain=8": "a gain of 8 ({:.3f})",
        "learned-gain-lstm@gain=8": "a learned one ({:.3f})",
        "gain-lstm@gain=2.5": "momentum's own gain of 2.5 ({:.3f})",
        "lstm@init=torch-unit": "unit drives ({:.3f})",
        "momentum-lstm": "at the recipe's numbers it has {:.3f}",
        "sr-lstm": "with restarts {:.3f}",
    }.items():
        assert words.format(mean[name]) in told, name
    for name, words in {
        "rmsprop-lstm": "RMSProp's rule ({:.3f}, p = {:.2g})",
        "rms-lstm": "root mean square ({:.3f}, p = {:.2g})",
        "standardized-lstm": "a standardized input ({:.3f}, p = {:.2g})",
    }.items():
        assert words.format(mean[name], arms[name].p) in told, name
    apart = [name for name, each in arms.items() if each.difference and each.difference.low > 0]
    gains = "gain-lstm@gain=8", "learned-gain-lstm@gain=8", "gain-lstm@gain=2.5"
    assert {*apart} == {"rmsprop-lstm", "rms-lstm", "standardized-lstm", *gains}
    gain = next(arm for arm in found.arms() if _model(arm) == GAIN)
    p = {_model(each.arm): each.p for each in judged(found, baseline=gain)}
    assert f"of 8 (p = {p['momentum-lstm']:.2g} and {p['sr-lstm']:.2g})" in told
    left = f"behind the gain alone by {mean[GAIN] - mean[AT_ITS_GAIN]:.3f}, which the correction"
    assert f"{left} does not pass (p = {p[AT_ITS_GAIN]:.2g})" in told
    own = paired_difference(chosen["momentum-lstm"], chosen["gain-lstm@gain=2.5"])
    assert f"behind its own gain without it by {-own.mean:.3f} (p = {own.p:.2g}" in told
    assert _at_the_greatest_rate(found) == 0
    assert found.view["tuning_seeds"] == [1000, 1001, 1002, 1003]


def test_copying_is_what_the_findings_tell():
    found, chosen = _recorded("findings-copying")
    told = _page("findings").partition("- Copying: ")[2].partition("\n\n")[0]
    silent = {"released-sr-lstm", "layer-norm-lstm", "lstm@init=paper-unit"}
    silent |= {"momentum-lstm@mu=0.6@step_size=3.2@forget_bias=0.4444"}
    for name, values in chosen.items():
        assert name in silent or f"{fmean(values):.3f}" in told, name
    better = [each for each in judged(found) if each.verdict == "better"]
    assert len(better) == 3
    assert all(f"p = {each.p:.2g}" in told for each in better)
    gain, momentum = chosen[GAIN], chosen[AT_ITS_GAIN]
    assert f"by {-paired_difference(momentum, gain).mean:.3f} there" in told
    assert _at_the_greatest_rate(found) == 1
    assert found.view["tuning_seeds"] == [1000, 1001]


def test_what_to_try_first_is_told_with_what_was_measured():
    tasks = ("digits", "copying", "speech", "words", "mnist")
    recorded = {task: _recorded(f"findings-{task}") for task in tasks}
    digits, copying, speech, words, mnist = (_means(chosen) for _, chosen in recorded.values())
    p = {_model(each.arm): each.p for each in judged(recorded["digits"][0])}
    trials, page = recorded["mnist"][0].view["trials"], _page("rules")
    for told in (
        f"permuted digits an accuracy of {digits['rmsprop-lstm']:.2f} and "
        f"{digits['lstm@init=torch-unit']:.2f}, the plain LSTM {digits['lstm']:.2f}; ten "
        f"seeds do not separate them after correction (p = {p['rmsprop-lstm']:.2g} and "
        f"{p['lstm@init=torch-unit']:.2g})",
        f"copying: a cross-entropy of {copying[GAIN]:.3f} and {copying[AT_ITS_GAIN]:.3f}; the "
        f"plain LSTM has {copying['lstm']:.3f}",
        f"speech: an error of {speech['lstm']:.2f}; momentum {speech['momentum-lstm']:.2f}, "
        f"RMSProp {speech['rmsprop-lstm@step_size=1@beta=0.9']:.2f} and by its recipe "
        f"{speech['rmsprop-lstm']:.2f}, Adam {speech['adam-lstm']:.2f}",
        f"a perplexity of {words['standardized-awd-lstm']:.1f} and {words['rms-awd-lstm']:.1f}, "
        f"the AWD-LSTM {words['awd-lstm']:.1f}; momentum {words['momentum-awd-lstm']:.0f}, "
        f"RMSProp {words['rmsprop-awd-lstm']:.1f}",
        f"permuted MNIST: the plain LSTM has {mnist['lstm']:.3f} and momentum "
        f"{mnist['momentum-lstm']:.3f} at a rate of 0.01; at 0.003, on validation samples, "
        f"{trials['lstm@lr=0.003']:.3f} and {trials['momentum-lstm@lr=0.003']:.3f}",
    ):
        assert told in page, told


def test_the_unigram_perplexity_is_that_the_findings_tell(tmp_path, data_folder):
    run = _recorded("findings-words")[0].runs[0]
    options, batch = run.recipe["task_options"], run.recipe["batch_size"]
    recipe = Trivial("unigram", "words", options, batch)
    found = compute(recipe, Place(tmp_path, data=data_folder)).values["chosen"]
    assert f"The words' frequencies alone have {found:.1f}" in _page("findings")
