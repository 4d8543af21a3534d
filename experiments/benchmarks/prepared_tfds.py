"""Writes small TFDS data sets of JPEG images or of texts in array_record format, without TensorFlow."""

import importlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

_EXAMPLES: Any = importlib.import_module("tensorflow_datasets.proto.tf_example_generated_pb2")
FEATURES = "tensorflow_datasets.core.features"


def jpeg(pixels: np.ndarray) -> bytes:
    """An RGB or grey image as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue()


def write(
    folder: Path,
    name: str,
    classes: int,
    splits: dict[str, Sequence[tuple[bytes, int]]],
    shards: int = 2,
    side: int = -1,
) -> Path:
    """A prepared set ``name/1.0.0`` with the features ``image`` (of any size, or square) and ``label``; its folder."""
    home = folder / name / "1.0.0"
    home.mkdir(parents=True)
    described = [_split(home, name, split, examples, shards) for split, examples in splits.items()]
    info = {"name": name, "version": "1.0.0", "fileFormat": "array_record", "splits": described}
    (home / "dataset_info.json").write_text(json.dumps(info))
    shape = {"dimensions": [str(side), str(side), "3"]}
    image = {"image": {"dtype": "uint8", "encodingFormat": "jpeg", "shape": shape}}
    _describe(home, "image", image | {"pythonClassName": f"{FEATURES}.image_feature.Image"}, classes)
    return home


def write_texts(folder: Path, name: str, classes: int, splits: dict[str, Sequence[tuple[str, int]]]) -> Path:
    """A prepared set ``name/1.0.0`` with the features ``text`` and ``label``, a file a split; its folder."""
    home = folder / name / "1.0.0"
    home.mkdir(parents=True)
    encoded = {split: [(text.encode(), label) for text, label in part] for split, part in splits.items()}
    described = [_split(home, name, split, part, 1, "text") for split, part in encoded.items()]
    info = {"name": name, "version": "1.0.0", "fileFormat": "array_record", "splits": described}
    (home / "dataset_info.json").write_text(json.dumps(info))
    text = {"text": {}, "pythonClassName": f"{FEATURES}.text_feature.Text"}
    _describe(home, "text", text, classes)
    return home


def _describe(home: Path, name: str, feature: dict, classes: int) -> None:
    label = {"classLabel": {"numClasses": str(classes)}}
    features = {name: feature, "label": label | {"pythonClassName": f"{FEATURES}.class_label_feature.ClassLabel"}}
    root = {"featuresDict": {"features": features}, "pythonClassName": f"{FEATURES}.features_dict.FeaturesDict"}
    (home / "features.json").write_text(json.dumps(root))


def _split(
    home: Path, name: str, split: str, examples: Sequence[tuple[bytes, int]], shards: int, feature: str = "image"
) -> dict:
    parts = [examples[i * len(examples) // shards : (i + 1) * len(examples) // shards] for i in range(shards)]
    size = 0
    for number, part in enumerate(parts):
        writer = ArrayRecordWriter(
            str(home / f"{name}-{split}.array_record-{number:05d}-of-{shards:05d}"), "group_size:1"
        )
        for image, label in part:
            example = _EXAMPLES.Example()
            example.features.feature[feature].bytes_list.value.append(image)
            example.features.feature["label"].int64_list.value.append(label)
            writer.write(example.SerializeToString())
            size += len(image)
        writer.close()
    return {
        "name": split,
        "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
        "numBytes": str(size),
        "shardLengths": [str(len(part)) for part in parts],
    }
