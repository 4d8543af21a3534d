"""Data that are taken along are those that TFDS gives, to the bit; what is damaged or of something else is refused."""

import dataclasses

import numpy as np
import pytest

import experiments
from experiments.accelerator import made_up, prepare, prepared
from experiments.benchmarks import prepared_tfds
from rnnjax import data
from rnnjax.errors import DataError, UsageError

DIGITS = experiments.load("digits_rows").data


def same(ours, theirs):
    """Whether two data sets are one and the same to a run."""
    assert ours.fingerprint == theirs.fingerprint
    for name in ("name", "preprocess", "spec", "plan", "notes", "sample_texts", "given"):
        assert getattr(ours, name) == getattr(theirs, name), name
    for split, examples in theirs.splits().items():
        assert ours.split(split).timed == examples.timed
        for name, array in examples.stored().items():
            assert ours.split(split).stored()[name].dtype == array.dtype


@pytest.fixture
def digits(tmp_path):
    path = prepared.file_of(tmp_path, DIGITS)
    prepared.write(path, DIGITS, data.load(DIGITS))
    return path


def test_images_come_back_as_they_were(digits):
    ours, name = prepared.read(digits, DIGITS)
    assert name == "digits"
    same(ours, data.load(DIGITS))


def test_documents_come_back_with_their_lengths_buckets_and_notes(tmp_path):
    section = made_up.loaded("imdb_bilstm", dry=True).data
    whole = dataclasses.replace(made_up._documents(), notes=("a note",), sample_texts=("one document",))
    for dataset in (whole, dataclasses.replace(whole, test=None)):
        prepared.write(tmp_path / "texts.npz", section, dataset)
        ours, _ = prepared.read(tmp_path / "texts.npz", section)
        same(ours, dataset)
        assert ours.plan.buckets == made_up.BUCKETS
        assert (ours.test is None) == (dataset.test is None)


@pytest.fixture
def cifar10(tmp_path):
    """A small set of JPEGs under the name of CIFAR-10's copy, and the section that reads it."""
    rng = np.random.default_rng(0)

    def split(count):
        pixels = rng.integers(0, 256, (count, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
        return [(prepared_tfds.jpeg(image), number % 2) for number, image in enumerate(pixels)]

    prepared_tfds.write(tmp_path / "tfds", "cifar10_jpeg", 2, {"train": split(41), "test": split(7)}, side=32)
    section = experiments.load("cifar10_cnn_rnn").data
    return dataclasses.replace(section, data_dir=str(tmp_path / "tfds"), cache_dir=str(tmp_path / "cache"))


def test_jpegs_are_kept_as_files_and_decoded_as_by_tfds(tmp_path, cifar10):
    section, dataset, files = prepare._with_files(cifar10)
    assert section.name == "cifar10_jpeg"
    path = prepared.file_of(tmp_path, cifar10)
    assert path == prepared.file_of(tmp_path, section), "a copy takes the place of the set itself"
    prepared.write(path, section, dataset, files)
    ours, name = prepared.read(path, cifar10)
    assert name == "cifar10_jpeg"
    same(ours, data.load(section))
    with np.load(path) as stored:
        assert stored["train/inputs"].nbytes == sum(map(len, files["train"])) < dataset.train["inputs"].nbytes


def test_a_file_that_is_damaged_anywhere_is_refused_or_reads_the_same(digits):
    whole, wanted = digits.read_bytes(), data.load(DIGITS)
    refused = 0
    for place in np.random.default_rng(0).integers(0, len(whole), 25):
        spoiled = bytearray(whole)
        spoiled[place] ^= 0x55
        digits.write_bytes(spoiled)
        try:
            same(prepared.read(digits, DIGITS)[0], wanted)
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"{digits} is damaged (")
            assert "\n" not in str(error)
    assert refused > 15


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x05\x06" + bytes(18)])
def test_what_is_no_such_file_is_refused(digits, content):
    digits.write_bytes(content)
    with pytest.raises(DataError, match="is damaged"):
        prepared.read(digits, DIGITS)
    digits.unlink()
    with pytest.raises(DataError, match=r"no such file; write it by python -m experiments\.accelerator --prepare"):
        prepared.read(digits, DIGITS)


def test_arrays_in_place_of_others_are_refused(digits):
    with np.load(digits) as stored:
        arrays = dict(stored)
    arrays["train/labels"] = arrays["train/labels"][::-1]
    np.savez_compressed(digits, **arrays)
    with pytest.raises(DataError, match="train labels are not what was written"):
        prepared.read(digits, DIGITS)


def test_data_of_other_settings_are_refused_and_batches_are_free(digits):
    prepared.read(digits, dataclasses.replace(DIGITS, batch_size=7, max_shift=2))
    with pytest.raises(DataError, match=r"was written for validation_fraction 0\.1, and the experiment has 0\.2"):
        prepared.read(digits, dataclasses.replace(DIGITS, validation_fraction=0.2))
    with pytest.raises(DataError, match="was written for name 'digits', and the experiment has 'mnist'"):
        prepared.read(digits, dataclasses.replace(DIGITS, name="mnist"))


def test_integers_are_stored_in_as_few_bytes_as_they_need():
    assert prepared._narrow(np.array([0, 255])).dtype == np.uint8
    assert prepared._narrow(np.array([0, 256], np.int32)).dtype == np.uint16
    assert prepared._narrow(np.array([-1, 3], np.int32)).dtype == np.int32
    assert prepared._narrow(np.ones(2, np.float32)).dtype == np.float32


# The command.


def test_files_are_written_and_their_sizes_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "SETS", ("digits_rows",))
    folder = tmp_path / "along"
    assert prepare.prepare(folder, []) == 0
    assert [path.name for path in folder.iterdir()] == ["digits.npz"]
    said = capsys.readouterr().out
    assert "digits.npz: 0.0" in said
    assert "together: 0.0" in said
    assert "pip download --no-deps pillow" in said


def test_more_than_the_limit_is_written_only_with_an_extra(tmp_path, monkeypatch):
    monkeypatch.setattr(prepare, "SETS", ("digits_rows",))
    monkeypatch.setattr(prepare, "MOST_MIB", 0.01)
    monkeypatch.setattr(prepare, "EXTRAS", {"more": "digits_rows"})
    with pytest.raises(DataError, match=r"the files take 0\.0\d MiB, and at most 0\.01 are written without --with"):
        prepare.prepare(tmp_path, [])
    assert not list(tmp_path.iterdir())
    assert prepare.prepare(tmp_path, ["more"]) == 0
    with pytest.raises(UsageError, match="--with takes more, got 'cifar10'"):
        prepare.prepare(tmp_path, ["cifar10"])


def test_a_set_that_is_not_there_is_said_and_the_others_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    monkeypatch.setattr(prepare, "SETS", ("mnist_rows", "digits_rows"))
    assert prepare.prepare(tmp_path / "along", []) == 1
    assert "mnist_rows: not written: the data set mnist is not prepared in" in capsys.readouterr().out
    monkeypatch.setattr(prepare, "SETS", ("mnist_rows",))
    with pytest.raises(DataError, match="no data set could be read"):
        prepare.prepare(tmp_path / "along", [])


def test_what_is_taken_along_can_be_checked_before_it_is(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(prepare, "SETS", ("digits_rows", "mnist_rows"))
    monkeypatch.setattr(prepare, "EXTRAS", {})
    path = prepared.file_of(tmp_path, DIGITS)
    prepared.write(path, DIGITS, data.load(DIGITS))
    prepare.check(tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said == [
        f"{path}: whole, 1,797 examples",
        f"{tmp_path / 'mnist.npz'}: not there; mnist_rows will be left out",
    ]
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"digits\.npz is damaged .*write it again by --prepare"):
        prepare.check(tmp_path)


@pytest.mark.slow
def test_real_data_are_the_same_and_fit(tmp_path, tfds_dir, monkeypatch):
    """Where there are some: all of MNIST."""
    if not (tfds_dir / "mnist").is_dir():
        pytest.skip("MNIST is not prepared")
    monkeypatch.setattr(prepare, "SETS", ("mnist_rows",))
    assert prepare.prepare(tmp_path, []) == 0
    assert (tmp_path / "mnist.npz").stat().st_size < 12 * 2**20
    for name in ("mnist_rows", "mnist_cnn_rnn"):
        section = experiments.load(name).data
        same(prepared.read(tmp_path / "mnist.npz", section)[0], data.load(section))
