"""The table of what works where is what works here."""

import logging
import warnings

import pytest

from tools import features

for _name in ("lightning", "accelerate", "opacus", "onnxruntime"):
    pytest.importorskip(_name)


@pytest.mark.parametrize("names", features.FEATURES)
def test_the_table_says_what_works(names):
    page = features.PAGE.read_text(encoding="utf-8")
    logging.disable(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for row in features.rows(names):
            assert row in page
    logging.disable(logging.NOTSET)
