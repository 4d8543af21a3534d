"""The folds of the spoken digits, on made recordings, what is refused, and how tables show a result of folds."""

import dataclasses
import zipfile

import numpy as np
import pytest

import rnnjax
from experiments import fields, tables
from experiments.spoken_digits import EXPERIMENT
from rnnjax.data.spoken_digits import DIGITS, SPEAKERS, SpokenDigits
from rnnjax.errors import DataError, UsageError
from rnnjax.experiment import otherwise_tested
from tests.sequences_made import wav_bytes

NAMES = [f"{digit}_{speaker}_{number}" for digit in DIGITS for speaker in SPEAKERS for number in (0, 7, 12)]


def clip(name, **options):
    """A tone by the digit, of a length by the rest of the name."""
    digit, speaker, number = name.split("_")
    pitch = 2.0 * int(digit) if digit.isdigit() else 1.0
    return wav_bytes(np.full(4, pitch), length=330 + 7 * len(speaker) + ord(speaker[0]) + int(number), **options)


def packed(path, names=NAMES, **others):
    """A zip of recordings as GitHub packs a repository, and other files by their names."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("free-spoken-digit-dataset-master/README.md", "digits")
        for name in names:
            file.writestr(f"free-spoken-digit-dataset-master/recordings/{name}.wav", clip(name))
        for name, data in others.items():
            file.writestr(f"free-spoken-digit-dataset-master/recordings/{name}.wav", data)
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("digits") / "master.zip")


def speakers(dataset):
    return {part: {place.rsplit("_", 2)[1] for place in places} for part, places in dataset.places().items()}


def numbers(dataset):
    return {part: {place[:-4].rsplit("_", 1)[1] for place in places} for part, places in dataset.places().items()}


@pytest.mark.parametrize(("held_out", "next_one"), [("george", "jackson"), ("yweweler", "george")])
def test_a_speaker_is_tested_on_the_next_is_validation_and_the_others_are_trained_on(held_out, next_one, place):
    dataset = SpokenDigits(path=place, hold_out=(held_out,)).load()
    rest = set(SPEAKERS) - {held_out, next_one}
    assert speakers(dataset) == {"test": {held_out}, "validation": {next_one}, "train": rest}
    assert [len(part) for part in dataset.splits().values()] == [120, 30, 30]
    assert dataset.name == f"spoken_digits, without {held_out}"
    assert dataset.spec.names == DIGITS
    assert "only 180 recordings of the 3,000 published" in dataset.understood


def test_the_published_split_is_by_number_and_shares_its_speakers(place):
    dataset = dataclasses.replace(EXPERIMENT.variant("official").data, path=place).load()
    assert numbers(dataset) == {"test": {"0"}, "validation": {"7"}, "train": {"12"}}
    assert all(found == set(SPEAKERS) for found in speakers(dataset).values())
    assert dataset.name == "spoken_digits, published split"


def test_every_speaker_is_tested_on_and_validated_on_once():
    folds = [EXPERIMENT, *map(EXPERIMENT.variant, EXPERIMENT.folds)]
    assert [fold.data.hold_out for fold in folds] == [(name,) for name in SPEAKERS]
    assert EXPERIMENT.target.judged, "in the mean"
    assert {fold.target for fold in folds[1:]} == {EXPERIMENT.target.compared}
    assert EXPERIMENT.variant("theo").folds == ()
    official = EXPERIMENT.with_parts(data=dataclasses.replace(EXPERIMENT.data, hold_out=()))
    assert official.target is None
    assert otherwise_tested(EXPERIMENT, official) == "of --data.hold-out george"
    assert otherwise_tested(EXPERIMENT.variant("official"), EXPERIMENT) == "of data without --data.hold-out"


@pytest.mark.parametrize(
    ("names", "others", "said"),
    [
        ([*NAMES, "3_bob_1"], {}, "3_bob_1.wav: its name is not DIGIT_SPEAKER_NUMBER"),
        ([*NAMES, "3_theo_50"], {}, "3_theo_50.wav: its name is not"),
        (["yes_abc_0", "no_abc_0"], {}, "abc_0.wav: its name is not"),
        (NAMES, {"3": wav_bytes(np.ones(2))}, "its name '3' is not of"),
        ([n for n in NAMES if "george" not in n or n[0] == "4"], {}, r"test \(george\) has no recording of 0, 1, 2"),
        ([n for n in NAMES if "jackson" not in n], {}, r"validation \(nobody\) has no recording of 0, 1"),
        ([n for n in NAMES if n[0] != "9"], {}, "has no recording of 9, and each part needs all ten digits"),
    ],
)
def test_other_recordings_are_refused(names, others, said, tmp_path):
    with pytest.raises(DataError, match=said):
        SpokenDigits(path=packed(tmp_path / "a.zip", names, **others)).load()


def test_silence_another_rate_and_no_recordings_are_refused(tmp_path):
    quiet = wav_bytes(np.zeros(2))
    quiet = quiet[:44] + bytes(len(quiet) - 44)
    with pytest.raises(DataError, match=r"3_george_1.wav: silence, in which no digit"):
        SpokenDigits(path=packed(tmp_path / "a.zip", **{"3_george_1": quiet})).load()
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as file:
        file.writestr("3_george_1.wav", clip("3_george_1", rate=16000))
    with pytest.raises(DataError, match=r"recordings at 16,000 Hz, where those of github.* are .wav at 8,000 Hz"):
        SpokenDigits(path=str(tmp_path / "b.zip")).load()
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as file:
        file.writestr("photos/cat.jpg", b"no sound")
    with pytest.raises(DataError, match=r"no .wav, .npy or table in it"):
        SpokenDigits(path=str(tmp_path / "c.zip")).load()


def test_where_no_place_or_no_such_speaker_is_named():
    with pytest.raises(UsageError, match=r"recordings of github.com/Jakobovski/free-spoken-digit-dataset"):
        SpokenDigits().load()
    for held_out in (("gorge",), SPEAKERS[:2]):
        with pytest.raises(UsageError, match="hold-out must be one of george, jackson"):
            SpokenDigits(hold_out=held_out)


def test_a_result_of_folds_is_the_mean_over_those_that_there_are():
    def of(value):
        return [{"metrics": {"test": {"accuracy": value}}}]

    found = {"spoken_digits": of(0.7), "spoken_digits-theo": of(0.9), "spoken_digits-official": of(0.99)}
    shown, results = tables.standing(EXPERIMENT, found)
    assert shown == "80.00% ± 14.14% (mean of 2 of 6 folds)" and len(results) == 2
    found |= {f"spoken_digits-{name}": of(0.7) for name in SPEAKERS[1:]}
    assert tables.standing(EXPERIMENT, found)[0] == "70.00% ± 0.00% (missed) (mean of 6 folds)"
    assert tables.standing(EXPERIMENT.variant("theo"), found)[0] == "70.00%", "the target is of the mean alone"
    assert tables.standing(EXPERIMENT, {}) == ("not yet measured", [])
    assert EXPERIMENT.reached(0.7) is False and EXPERIMENT.reached_alone(0.7) is None
    assert EXPERIMENT.variant("official").reached_alone(0.7) is False


@pytest.mark.slow
def test_it_learns_tones_and_is_read_again_from_its_folder_alone(place, tmp_path):
    made = dataclasses.replace(
        EXPERIMENT,
        data=dataclasses.replace(EXPERIMENT.data, path=place, batch_size=16, mels=16),
        model=rnnjax.SequenceModel(features=(8,), conv=(8,), pooling=("attention",)),
        optim=rnnjax.OptimConfig(learning_rate=1e-2),
        train=rnnjax.TrainConfig(epochs=12, steps_per_call=8, log=()),
        bars=False,
    )
    result = rnnjax.fit(made, workdir=tmp_path / "run")
    assert result.headline is not None and result.headline > 0.5
    samples = [np.frombuffer(clip(name)[44:], "<i2") for name in NAMES]
    answers = rnnjax.load(tmp_path / "run")(samples)
    assert np.mean([int(name[0]) == answer for name, answer in zip(NAMES, answers, strict=True)]) > 0.5


def test_each_fold_counts_once_however_many_seeds_it_has():
    def of(name, *values):
        bars = {"rows": [{"name": "plain", "value": values[0] / 2, "note": ""}]}
        results = [{"metrics": {"test": {"accuracy": value}}, "bars": bars, "experiment": name} for value in values]
        return [result | {"seed": seed} for seed, result in enumerate(results)]

    found = {"spoken_digits": of("spoken_digits", 0.4, 0.6, 0.5)}
    found |= {f"spoken_digits-{name}": of(f"spoken_digits-{name}", 0.8) for name in SPEAKERS[1:]}
    shown, results = tables.standing(EXPERIMENT, found)
    spread = np.std([0.5] + 5 * [0.8], ddof=1)
    assert shown == f"75.00% ± {spread:.2%} (missed) (mean of 6 folds)" and tables.seeds(results) == 3
    row = fields._standing(EXPERIMENT, fields.Beside(), found)
    assert row.ours == pytest.approx(0.75) and row.bar == pytest.approx((0.2 + 5 * 0.4) / 6)
