"""TIMIT's files: how a user's own copy (LDC93S1) lies, and who is in which set. No torch.

The speakers of the core test set and of the development set are those of Kaldi's recipe. As in the
MomentumRNN paper the sentences that all speakers read (SA) are left out, the 192 sentences of the
core test set serve for validation, and the 400 of the development set for testing.
"""

from __future__ import annotations

from pathlib import Path

from torchmomentum.experiments.data.folder import missing
from torchmomentum.experiments.errors import UsageError

FOLDER = "timit"
_CORE_TEST = """
fdhc0 felc0 fjlm0 fmgd0 fmld0 fnlp0 fpas0 fpkt0 mbpm0 mcmj0 mdab0 mgrt0 mjdh0 mjln0 mjmp0
mklt0 mlll0 mlnt0 mnjm0 mpam0 mtas1 mtls0 mwbt0 mwew0
"""
_DEVELOPMENT = """
fadg0 faks0 fcal1 fcmh0 fdac1 fdms0 fdrw0 fedw0 fgjd0 fjem0 fjmg0 fjsj0 fkms0 fmah0 fmml0
fnmr0 frew0 fsem0 majc0 mbdg0 mbns0 mbwm0 mcsh0 mdlf0 mdls0 mdvc0 mers0 mgjf0 mglb0 mgwt0
mjar0 mjfc0 mjsw0 mmdb1 mmdm2 mmjr0 mmwh0 mpdf0 mrcs0 mreb0 mrjm4 mrjr0 mroa0 mrtk0 mrws1
mtaa0 mtdt0 mteb0 mthc0 mwjg0
"""
CORE_TEST, DEVELOPMENT = frozenset(_CORE_TEST.split()), frozenset(_DEVELOPMENT.split())
COUNTS = {"train": 3696, "validation": 192, "test": 400}  # the paper has 3,640 to train on


def utterances(folder: Path) -> dict[str, list[Path]]:
    """The recordings of each set, in an order that does not depend on the disk.

    Names may be in upper or lower case, and end in ``.WAV`` or, as in some copies, in ``.WAV.wav``.

    Raises:
        UsageError: There is no TIMIT, or not all of it.
    """
    found: dict[str, dict[tuple[str, str], Path]] = {name: {} for name in COUNTS}
    for path in sorted((folder / FOLDER).rglob("*")):
        parts = [part.lower() for part in path.parts]
        if len(parts) < 4 or not parts[-1].endswith(".wav") or parts[-1].startswith("sa"):
            continue
        half, speaker, sentence = parts[-4], parts[-2], parts[-1].partition(".")[0]
        which = half if half == "train" else None
        if half == "test" and speaker in CORE_TEST:
            which = "validation"
        elif half == "test" and speaker in DEVELOPMENT:
            which = "test"
        if which is not None:
            found[which].setdefault((speaker, sentence), path)
    counts = {name: len(files) for name, files in found.items()}
    if not any(counts.values()):
        raise missing(
            "TIMIT",
            folder,
            f"place your copy of LDC93S1 below {folder / FOLDER}, with TRAIN/DR1/FCJF0/SI1027.WAV "
            "and all others (it cannot be downloaded)",
            "take spoken-digits, which is free",
        )
    if counts != COUNTS:
        told = ", ".join(f"{counts[name]} of {COUNTS[name]} for {name}" for name in COUNTS)
        raise UsageError(f"{folder / FOLDER} does not hold all of TIMIT: {told}")
    return {name: list(files.values()) for name, files in found.items()}


def check_timit(folder: Path) -> None:
    """Checks that TIMIT is there, without reading it.

    Raises:
        UsageError: It is not.
    """
    utterances(folder)
