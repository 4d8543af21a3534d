"""Runs every snippet of ``rnnjax/COMING_FROM.md``."""

import os
import re
from pathlib import Path

import pytest

import rnnjax.errors
from tests.marks import often

PAGE = (Path(rnnjax.errors.__file__).parent / "COMING_FROM.md").read_text()
SNIPPETS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def test_the_page_has_its_parts():
    assert len(SNIPPETS) >= 6
    for option in (
        *("return_sequences", "return_state", "stateful", "go_backwards", "recurrent_dropout"),
        *("batch_first", "proj_size", "packed sequences", "seq_lengths", "keep_order"),
        *("recurrent_activation", "StackedRNNCells", "carry_from_keras", "save_safetensors", "LSTMCell"),
    ):
        assert f"`{option}" in PAGE or option in PAGE


# Three of them take as long as all others together.
@pytest.mark.parametrize("number", often(range(len(SNIPPETS)), {*range(len(SNIPPETS))} - {6, 7, 12, 13, 14, 15}))
def test_snippet(number):
    os.environ.setdefault("KERAS_BACKEND", "jax")
    for package, extra in (("torch", "bench"), ("keras", "bench"), ("equinox", "bench"), ("safetensors", "export")):
        if f"import {package}" in SNIPPETS[number]:
            pytest.importorskip(package, reason=f"{package} (extra {extra}) is not installed")
    exec(compile(SNIPPETS[number], f"COMING_FROM.md, snippet {number}", "exec"), {})
