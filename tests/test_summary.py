"""What a run says before it starts."""

import re
from pathlib import Path

from rnnjax.runs.announce import print_start
from tests.small import TEXT_CONFIG, made_up_texts, small_program


def test_texts_say_what_their_buckets_cost(capsys):
    dataset = made_up_texts()
    program = small_program(TEXT_CONFIG, dataset)
    print_start(program, 0, Path("runs/made_up/seed-0"))
    shown = capsys.readouterr().out
    found = re.search(r"2 compiled lengths \(6, 12\), (\d+)% of the steps are padding", shown)
    assert found, shown
    # All examples in buckets of 6 and 12; what moves to a larger bucket can only add padding.
    lengths = dataset.train.lengths
    least = 1 - lengths.sum() / ((lengths <= 6) * 6 + (lengths > 6) * 12).sum()
    assert 100 * least - 1 < float(found[1]) < 100 * least + 10


def test_images_say_nothing_of_lengths(capsys):
    print_start(small_program(), 0, Path("runs/small/seed-0"))
    assert "length" not in capsys.readouterr().out
