"""What a trained model says to arrays that are not as in training: what it wants, and which road takes them."""

import numpy as np
import pytest

from rnnjax import data
from rnnjax.data.image_preprocess import ImagePreprocess
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.errors import DataError
from tests import sequences_made as made


@pytest.mark.parametrize(
    "raw", [["a/photo.jpg"], [np.zeros((8, 8, 3)), np.zeros((9, 8, 3))], np.zeros((1, 90, 80, 3), np.uint8)]
)
def test_images_of_other_sizes_and_paths_are_led_to_the_road_of_files(raw):
    reads = ImagePreprocess(shape=(8, 8, 3), mean=(0.5,) * 3, std=(0.2,) * 3, class_names=("a", "b"))
    with pytest.raises(DataError, match=r"files of any size are read .*by predictor.predict_file\(path\)"):
        reads.encode(raw)


def test_one_sequence_is_asked_for_as_a_list_and_samples_as_they_are_in_files(tmp_path):
    table = data.load(SequenceTable(path=str(made.long_table(tmp_path / "long.csv")), batch_size=4)).preprocess
    with pytest.raises(DataError, match=r"several are given as a list, and so is one: \[steps\]"):
        table.encode(np.zeros((40, 2)))
    waves = data.load(SequenceTable(path=str(made.class_folders(tmp_path / "w", ".wav")), batch_size=4)).preprocess
    with pytest.raises(DataError, match=r"of floats in -1..1 they are \(32767 \* samples\).astype\(np.int16\)"):
        waves.encode([np.zeros(4000)])
