"""The configuration: JSON there and back, refusals in one sentence, and what makes two runs the same."""

import dataclasses
import json
import re
import typing

import pytest

import experiments
from rnnjax import config as c
from rnnjax.errors import UsageError
from rnnjax.experiment import KINDS, Experiment
from rnnjax.models.config import Cell


def image(**sections):
    return c.Config(**{"data": c.ImageData(name="digits"), "model": c.ImageModel(), **sections})


def text(**sections):
    return c.Config(**{"data": c.TextData(name="imdb_reviews"), "model": c.TextModel(), **sections})


CONFIGS = {
    "text table": text(
        data=c.TextTable(path="a.csv", test_path="b", text_column="t", label_column="l", test_fraction=0.5)
    ),
    "image defaults": image(),
    "text defaults": text(),
    "image, all set": image(
        data=c.ImageData(
            name="mnist",
            crop_size=8,
            crop_least_area=0.5,
            test_split="exam",
            workers=2,
            batch_size=7,
            max_shift=2,
            max_rotation=15.0,
            max_zoom=0.1,
            elastic=1.5,
            elastic_sigma=3.0,
            data_dir="/d",
            cache_dir="/c",
            device_budget_mib=0,
        ),
        model=c.ImageModel(
            cell="gru", features=(5, 6), conv=(3, 4), bidirectional=True, read_by="pixels", pooling=("mean", "max")
        ),
        optim=c.OptimConfig(
            groups=("a=b=0.5", "c=0"),
            optimizer="sgd",
            schedule="cosine",
            warmup_fraction=0.1,
            momentum=0.0,
            clip_norm=0,
        ),
        train=c.TrainConfig(epochs=3, patience=2, steps_per_call=1, save_minutes=0.5),
        parallel=c.ParallelConfig(cpu_devices=4, distributed=True),
    ),
    "image folder, convolutions": image(
        data=c.ImageFolderData(height=8, color="grey", on_bad_file="skip", flip=True, cutout=2, data_dir="/d"),
        model=c.ImageModel(
            features=(), conv=(3, 4), convs_per_pool=2, pool_early=True, batch_norm=True, pooling=("mean",)
        ),
    ),
    "text, all set": text(
        data=c.TextData(name="x", tokenizer="bytes", vocabulary_size=3, bucket_lengths=(4, 9, 20)),
        model=c.TextModel(
            cell="simple_rnn",
            embedding_features=3,
            embedding_dropout=0.5,
            word_dropout=0.25,
            word_dropout_of="types",
            dense=(4,),
            conv=(5, 6),
            conv_kernel=3,
            conv_pool=2,
        ),
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_json_there_and_back(name):
    config = CONFIGS[name]
    restored = c.from_json(json.loads(json.dumps(c.to_json(config))), KINDS)
    assert restored == config
    assert type(restored.data) is type(config.data)
    assert type(restored.model) is type(config.model)
    assert hash(restored) == hash(config)


def test_sections_that_json_leaves_out_take_their_defaults():
    data = c.to_json(image())
    for section in ("optim", "train", "parallel"):
        del data[section]
    del data["data"]["batch_size"]
    assert c.from_json(data, KINDS) == image()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: c.ImageData(name="m", batch_size=0), "batch-size must be positive, got 0"),
        (lambda: c.ImageData(name="m", max_shift=-1), "max-shift must be 0 or more pixels, got -1"),
        (
            lambda: c.ImageData(name="m", validation_fraction=1.0),
            "validation-fraction must be between 0 and 1, got 1.0",
        ),
        (lambda: c.ImageData(name="m", device_budget_mib=-1), "device-budget-mib must be 0 or more MiB, got -1"),
        (lambda: c.TextData(name="t", bucket_lengths=(-9,)), "bucket-lengths must be positive and rising, got (-9,)"),
        (lambda: c.TextTable(test_fraction=0), "--data.test-fraction must be between 0 and 1, got 0"),
        (lambda: c.ImageData(name="m", workers=-1), "workers must be 0 or more threads, got -1"),
        (lambda: c.ImageData(name="m", crop_size=-8), "crop-size must be 0 or more pixels, got -8"),
        (lambda: c.ImageData(name="m", crop_least_area=0), "crop-least-area must be above 0 and at most 1, got 0"),
        (lambda: c.ImageData(name="m", test_split="train"), "test-split must be another split than train"),
        (lambda: c.TextData(name="t", bucket_lengths=(9, 9)), "bucket-lengths must be positive and rising"),
        (lambda: c.TextData(name="t", bucket_lengths=(0, 9)), "bucket-lengths must be positive and rising"),
        (
            lambda: c.TextData(name="t", tokenizer="word"),
            "tokenizer must be one of words, plain-words, characters, bytes, got 'word'",
        ),
        (lambda: c.TextData(name="t", vocabulary_size=2), "vocabulary-size must be 3 or more, got 2"),
        (lambda: c.ImageModel(features=()), "features must be positive, at least one layer, got ()"),
        (lambda: c.ImageModel(features=(8, 0)), "features must be positive"),
        (lambda: c.ImageModel(dropout=1.0), "dropout must be at least 0 and below 1, got 1.0"),
        (lambda: c.ImageModel(pooling=()), "pooling must be"),
        (lambda: c.ImageModel(dense=(16, 0)), "dense must be positive numbers of features, got (16, 0)"),
        (lambda: c.TextModel(conv=(0,)), "--model.conv must be positive numbers of channels, got (0,)"),
        (lambda: c.TextModel(conv_pool=0), "--model.conv-pool must be positive, got 0"),
        (lambda: c.TextModel(conv_kernel=-1), "--model.conv-kernel must be positive, got -1"),
        (lambda: c.ImageModel(conv=(8, -1)), "conv must be positive numbers of channels"),
        (lambda: c.ImageModel(features=(), conv=(8,)), "pooling must be of mean, max and attention over pixels"),
        (lambda: c.ImageModel(conv_after=(8,)), "pooling must be of mean, max and attention over pixels"),
        (
            lambda: c.ImageModel(features=(), conv=(8,), conv_after=(8,), pooling=("mean",)),
            "conv-after must be empty where there is no recurrent layer, got (8,)",
        ),
        (lambda: c.ImageModel(read_by="columns"), "read-by must be one of rows, pixels, got 'columns'"),
        (lambda: c.ImageModel(convs_per_pool=-1), "convs-per-pool must be 0 or more, got -1"),
        (lambda: c.TextModel(features=()), "features must be positive, at least one layer, got ()"),
        (lambda: c.ImageData(name="m", max_rotation=-5), "max-rotation must be from 0 to 180 degrees, got -5"),
        (lambda: c.ImageData(name="m", max_zoom=1), "max-zoom must be 0 or more and below 1, got 1"),
        (lambda: c.ImageData(name="m", elastic=-1), "elastic must be 0 or more pixels, and finite, got -1"),
        (lambda: c.ImageData(name="m", elastic_sigma=0), "elastic-sigma must be above 0 and at most 100 pixels, got 0"),
        (lambda: c.ImageData(name="m", cutout=-1), "cutout must be 0 or more pixels, got -1"),
        (lambda: c.ImageData(name="m", shift_padding="mirror"), "shift-padding must be one of zeros, reflect"),
        (lambda: c.ImageFolderData(height=0), "height must be positive, got 0"),
        (lambda: c.ImageFolderData(test_fraction=0), "test-fraction must be between 0 and 1, got 0"),
        (lambda: c.ImageFolderData(color="red"), "color must be one of rgb, grey, got 'red'"),
        (lambda: c.ImageFolderData(on_bad_file="keep"), "on-bad-file must be one of refuse, skip, got 'keep'"),
        (lambda: c.TextModel(embedding_features=0), "embedding-features must be positive"),
        (lambda: c.TextModel(word_dropout=-0.1), "word-dropout must be at least 0 and below 1"),
        (lambda: c.OptimConfig(learning_rate=0), "learning-rate must be positive and finite, got 0"),
        (lambda: c.OptimConfig(learning_rate=float("nan")), "learning-rate must be positive and finite, got nan"),
        (lambda: c.OptimConfig(learning_rate=float("inf")), "learning-rate must be positive and finite, got inf"),
        (lambda: c.OptimConfig(weight_decay=-1.0), "weight-decay must be 0 or more"),
        (lambda: c.OptimConfig(clip_norm=-1.0), "clip-norm must be 0 or more"),
        (lambda: c.OptimConfig(ema_decay=1.0), "ema-decay must be at least 0 and below 1"),
        (lambda: c.OptimConfig(label_smoothing=float("nan")), "label-smoothing must be at least 0 and below 1"),
        (lambda: c.OptimConfig(plateau_factor=1.0), "plateau-factor must be between 0 and 1, got 1.0"),
        (lambda: c.OptimConfig(plateau_patience=0), "plateau-patience must be positive, got 0"),
        (lambda: c.OptimConfig(plateau_least=2), "plateau-least must be between 0 and 1, got 2"),
        *(
            (lambda bad=bad: c.OptimConfig(groups=("head=2", bad)), "groups must be REGULAR-EXPRESSION=FACTOR")
            for bad in ("embed", "=2", "embed=", "embed=-1", "embed=nan", "embed=inf", "(=1")
        ),
        (lambda: c.TrainConfig(epochs=0), "epochs must be positive, got 0"),
        (lambda: c.TrainConfig(steps_per_call=-2), "steps-per-call must be positive, got -2"),
        (lambda: c.TrainConfig(patience=-1), "patience must be 0 or more epochs"),
        (lambda: c.TrainConfig(until=float("nan")), "--train.until must be a finite number, got nan"),
        (
            lambda: Experiment(data=image().data, model=image().model, train=c.TrainConfig(until=99)),
            "--train.until must be above 0 and at most 1 (accuracy is a share), got 99",
        ),
        (lambda: c.TrainConfig(save_minutes=0), "save-minutes must be positive"),
        (lambda: c.ParallelConfig(cpu_devices=0), "cpu-devices must be positive"),
        # Choices are refused by the dataclasses too, not only on the command line and in JSON.
        (lambda: c.OptimConfig(optimizer="adamm"), "optimizer must be one of sgd, adam, adamw, got 'adamm'"),
        (
            lambda: c.OptimConfig(schedule="linear"),
            "schedule must be one of constant, cosine, one-cycle, plateau, got 'linear'",
        ),
        (
            lambda: c.ImageModel(cell="ltsm"),
            f"cell must be one of {', '.join(typing.get_args(Cell))}, got 'ltsm'",
        ),
        (lambda: c.ImageModel(pooling=("last", "min")), "pooling must be at least one of last, mean, max, attention"),
    ],
)
def test_a_value_that_cannot_be_right_is_named(make, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        make()


@pytest.mark.parametrize(
    ("section", "change", "message"),
    [
        ("optim", {"learning_rat": 0.1}, "optim.learning_rat: no such field"),
        ("data", {"vocabulary_size": 5}, "data.vocabulary_size: no such field"),  # of a text, not an image
        ("data", {"section": "model"}, "data.section: no such field"),
        ("data", {"kind": "sound"}, "data.kind: 'sound' is not known here"),
        ("optim", {"kind": "image"}, "optim.kind: 'image' is not known here"),
        ("train", {"epochs": "3"}, "train.epochs: '3' is not a valid value"),
        ("train", {"epochs": 2.5}, "train.epochs: 2.5 is not a valid value"),
        ("train", {"epochs": True}, "train.epochs: True is not a valid value"),
        ("train", {"epochs": None}, "train.epochs: None is not a valid value"),
        ("train", {"epochs": 0}, "epochs must be positive, got 0"),
        ("optim", {"optimizer": "adamm"}, "optim.optimizer: 'adamm' is not a valid value"),
        ("optim", {"learning_rate": False}, "optim.learning_rate: False is not a valid value"),
        ("model", {"features": 128}, "model.features: 128 is not a valid value"),
        ("model", {"features": [128, "64"]}, "model.features: [128, '64'] is not a valid value"),
        ("model", {"bidirectional": 1}, "model.bidirectional: 1 is not a valid value"),
        ("data", {"data_dir": 3}, "data.data_dir: 3 is not a valid value"),
    ],
)
def test_json_that_does_not_fit_is_refused(section, change, message):
    data = c.to_json(image())
    data[section] |= change
    with pytest.raises(UsageError, match=re.escape(message)):
        c.from_json(data, KINDS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({**c.to_json(image()), "optimizer": {}}, "unknown section 'optimizer'"),
        ({"data": c.to_json(image())["data"]}, "section 'model' is missing"),
        ({**c.to_json(image()), "data": {"kind": "image"}}, "data.name is missing"),
        ({**c.to_json(image()), "train": 5}, "train: 5 is not a valid value"),
    ],
)
def test_json_of_another_shape_is_refused(data, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        c.from_json(data, KINDS)


def test_only_identity_fields_tell_two_runs_apart():
    ours = image()
    runtime = image(
        data=c.ImageData(name="digits", data_dir="/elsewhere", cache_dir="/tmp", device_budget_mib=0),
        train=c.TrainConfig(save_minutes=1.0),
        parallel=c.ParallelConfig(cpu_devices=8),
    )
    assert c.identity_differences(ours, runtime) == []
    theirs = image(
        model=c.ImageModel(features=(64,)),
        optim=c.OptimConfig(learning_rate=0.5),
        train=c.TrainConfig(epochs=3, save_minutes=1.0),
    )
    assert c.identity_differences(ours, theirs) == [
        "model.features: [128], not [64]",
        "optim.learning_rate: 0.001, not 0.5",
        "train.epochs: 10, not 3",
    ]


def test_a_text_run_is_not_an_image_run():
    differences = c.identity_differences(image(), text())
    assert "data.kind: 'image', not 'text'" in differences
    assert "model.kind: 'image', not 'text'" in differences


@pytest.mark.parametrize("section", [f.name for f in dataclasses.fields(c.Config) if not f.metadata.get("runtime")])
def test_every_identity_field_is_compared(section):
    """A field that is added is either marked as runtime or refuses a work folder."""
    for config in (image(), text()):
        ours = getattr(config, section)
        for field in dataclasses.fields(ours):
            value = getattr(ours, field.name)
            changed = dataclasses.replace(ours)
            object.__setattr__(changed, field.name, ("changed", value))
            differences = c.identity_differences(config, dataclasses.replace(config, **{section: changed}))
            assert len(differences) == (0 if field.metadata.get("runtime") else 1), field.name


@pytest.mark.parametrize("name", [name for name in experiments.NAMES if hasattr(experiments.load(name), "data")])
def test_a_work_folder_of_an_experiment_names_its_data_without_the_experiment(name):
    assert type(experiments.load(name).data) in KINDS["data"]
