"""Data of one's own, from the command line: an experiment for each kind; see :mod:`rnnjax.__main__`."""

from typing import NamedTuple

from rnnjax.config import OptimConfig, TrainConfig
from rnnjax.data.documents import TextTable
from rnnjax.data.forecast_table import ForecastTable
from rnnjax.data.images import ImageFolderData
from rnnjax.data.pair_config import PairData
from rnnjax.data.sequence_table import SequenceTable
from rnnjax.experiment import Experiment
from rnnjax.models.config import ImageModel, SequenceModel, TextModel
from rnnjax.models.encoder_decoder_config import EncoderDecoderModel
from rnnjax.models.forecast_config import ForecastModel
from rnnjax.tasks import Forecast, SequenceToSequence
from rnnjax.tasks.by_data import ByData

IMAGES = Experiment(
    name="image_folder",
    summary="convolutions and an LSTM classify the images in a folder of yours",
    target=None,
    own=True,
    cost="grows with the number of images and their size",
    data=ImageFolderData(batch_size=16, validation_fraction=0.2, max_shift=2, shift_padding="reflect"),
    model=ImageModel(
        conv=(32, 64, 128),
        features=(128,),
        batch_norm=True,
        dropout=0.2,
        pooling=("mean", "max"),
        bidirectional=True,
    ),
    optim=OptimConfig(learning_rate=2e-3, weight_decay=1e-2, label_smoothing=0.05, ema_decay=0.99),
    train=TrainConfig(epochs=30, steps_per_call=8),
)

TEXTS = Experiment(
    name="text_table",
    summary="a bidirectional LSTM learns your own texts: --data.path FILE",
    target=None,
    own=True,
    cost="ten passes over your texts",
    data=TextTable(batch_size=32),
    model=TextModel(
        features=(64,),
        bidirectional=True,
        pooling=("mean", "max", "last"),
        embedding_features=64,
        embedding_dropout=0.3,
        word_dropout=0.1,
        dropout=0.2,
    ),
    optim=OptimConfig(learning_rate=3e-3, weight_decay=1e-2, ema_decay=0.99),
    train=TrainConfig(epochs=10, steps_per_call=8),
)


SEQUENCES = Experiment(
    name="sequence_table",
    summary="a bidirectional GRU learns your own numeric sequences or recordings: --data.path FILE",
    target=None,
    own=True,
    cost="grows with the number of sequences and their lengths",
    data=SequenceTable(batch_size=16),
    model=SequenceModel(
        cell="gru",
        features=(64,),
        bidirectional=True,
        pooling=("mean", "max", "last"),
        dropout=0.2,
    ),
    task=ByData(),
    optim=OptimConfig(learning_rate=3e-3, schedule="cosine", warmup_fraction=0.05, weight_decay=1e-2, ema_decay=0.99),
    train=TrainConfig(epochs=30, steps_per_call=8),
)

FORECASTS = Experiment(
    name="forecast_table",
    summary="a GRU forecasts columns of a table of yours: --data.path FILE",
    target=None,
    own=True,
    cost="grows with the number of rows and columns",
    data=ForecastTable(batch_size=32),
    model=ForecastModel(features=128, dropout=0.1),
    task=Forecast(),
    optim=OptimConfig(learning_rate=1e-3, schedule="cosine"),
    train=TrainConfig(epochs=20, patience=5, steps_per_call=16),
)

PAIRS = Experiment(
    name="text_pairs",
    summary="an encoder and decoder with attention write one text for another of yours: --data.path FOLDER or TABLE",
    target=None,
    own=True,
    cost="twenty passes over your pairs",
    data=PairData(batch_size=32),
    model=EncoderDecoderModel(encoder_features=(64,), features=(128,), embedding_features=64, dropout=0.2),
    task=SequenceToSequence(score="token_error_rate"),
    optim=OptimConfig(learning_rate=3e-3, schedule="cosine", ema_decay=0.99),
    train=TrainConfig(epochs=20, steps_per_call=8),
)


class Kind(NamedTuple):
    """A kind of data of one's own.

    Attributes:
      experiment: what is trained on it.
      path: the option that names the data.
      what: what lies there.
      example: such a path.
    """

    experiment: Experiment
    path: str
    what: str
    example: str


KINDS = {
    "image": Kind(
        IMAGES,
        "--data.data-dir",
        "a folder or .zip of images, one sub-folder a class, or with labels.csv",
        "photos",
    ),
    "text": Kind(
        TEXTS,
        "--data.path",
        "a .csv, .tsv, .jsonl or .parquet, or a folder of .txt, a sub-folder a class",
        "texts.csv",
    ),
    "sequence": Kind(
        SEQUENCES, "--data.path", "a table, a .ts file, or a folder or zip with a .csv, .npy or .wav each", "series.csv"
    ),
    "pair": Kind(
        PAIRS,
        "--data.path",
        "a folder with train.SOURCE, train.TARGET, val.SOURCE, ..., test.TARGET, or a table with columns of both",
        "pairs.csv --data.source english --data.target german",
    ),
    "forecast": Kind(
        FORECASTS, "--data.path", "a table with a column of times and columns of numbers to forecast", "series.csv"
    ),
}
"""By the word that names it on the command line; a new kind is one line here."""
