"""Recurrent networks in JAX and Flax: layers, and a road from data to a model that answers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rnnjax.layers.cell_names import CELL_CLASSES

if TYPE_CHECKING:
    from rnnjax.cli import main as main
    from rnnjax.config import DataConfig as DataConfig
    from rnnjax.config import OptimConfig as OptimConfig
    from rnnjax.config import ParallelConfig as ParallelConfig
    from rnnjax.config import TrainConfig as TrainConfig
    from rnnjax.config.language import Search as Search
    from rnnjax.data.arrays import Arrays as Arrays
    from rnnjax.data.corpus import CorpusData as CorpusData
    from rnnjax.data.corpus import DocumentsCorpus as DocumentsCorpus
    from rnnjax.data.documents import SelfTrainingText as SelfTrainingText
    from rnnjax.data.documents import TextData as TextData
    from rnnjax.data.documents import TextTable as TextTable
    from rnnjax.data.examples import Dataset as Dataset
    from rnnjax.data.examples import Examples as Examples
    from rnnjax.data.forecast_table import ForecastTable as ForecastTable
    from rnnjax.data.images import ImageData as ImageData
    from rnnjax.data.images import ImageFolderData as ImageFolderData
    from rnnjax.data.pair_config import PairData as PairData
    from rnnjax.data.plan import Plan as Plan
    from rnnjax.data.plan import Streams as Streams
    from rnnjax.data.preprocess import Preprocess as Preprocess
    from rnnjax.data.sequence_table import SequenceTable as SequenceTable
    from rnnjax.data.spec import Shape as Shape
    from rnnjax.data.spec import Spec as Spec
    from rnnjax.errors import DataError as DataError
    from rnnjax.errors import RnnjaxError as RnnjaxError
    from rnnjax.errors import RunError as RunError
    from rnnjax.errors import UsageError as UsageError
    from rnnjax.experiment import Compared as Compared
    from rnnjax.experiment import Experiment as Experiment
    from rnnjax.experiment import Target as Target
    from rnnjax.experiment import Variant as Variant
    from rnnjax.layers.bidirectional import Bidirectional as Bidirectional
    from rnnjax.layers.carried import Carried as Carried
    from rnnjax.layers.carries import LearnedCarry as LearnedCarry
    from rnnjax.layers.cells import CoupledLSTMCell as CoupledLSTMCell
    from rnnjax.layers.cells import GRUCell as GRUCell
    from rnnjax.layers.cells import LayerNormGRUCell as LayerNormGRUCell
    from rnnjax.layers.cells import LayerNormLSTMCell as LayerNormLSTMCell
    from rnnjax.layers.cells import LinearCell as LinearCell
    from rnnjax.layers.cells import LRUCell as LRUCell
    from rnnjax.layers.cells import LSTMCell as LSTMCell
    from rnnjax.layers.cells import MinGRUCell as MinGRUCell
    from rnnjax.layers.cells import PeepholeLSTMCell as PeepholeLSTMCell
    from rnnjax.layers.cells import ProjectedLSTMCell as ProjectedLSTMCell
    from rnnjax.layers.cells import RecurrentCell as RecurrentCell
    from rnnjax.layers.cells import ResetBeforeGRUCell as ResetBeforeGRUCell
    from rnnjax.layers.cells import SimpleRNNCell as SimpleRNNCell
    from rnnjax.layers.cells import chrono as chrono
    from rnnjax.layers.cells import identity as identity
    from rnnjax.layers.conv import ConvStack as ConvStack
    from rnnjax.layers.implementations import implementation as implementation
    from rnnjax.layers.implementations import reporting as reporting
    from rnnjax.layers.masks import sequence_mask as sequence_mask
    from rnnjax.layers.movable import movable as movable
    from rnnjax.layers.outputs import Outputs as Outputs
    from rnnjax.layers.packing import Packing as Packing
    from rnnjax.layers.packing import pack as pack
    from rnnjax.layers.pooling import AttentionPool as AttentionPool
    from rnnjax.layers.pooling import pool as pool
    from rnnjax.layers.rnn import RNN as RNN
    from rnnjax.layers.stacked import StackedRNN as StackedRNN
    from rnnjax.models.config import ImageModel as ImageModel
    from rnnjax.models.config import LanguageModel as LanguageModel
    from rnnjax.models.config import ModelConfig as ModelConfig
    from rnnjax.models.config import PretrainedTextModel as PretrainedTextModel
    from rnnjax.models.config import SequenceModel as SequenceModel
    from rnnjax.models.config import TextModel as TextModel
    from rnnjax.models.decoder import Decoder as Decoder
    from rnnjax.models.encoder_decoder import Encoded as Encoded
    from rnnjax.models.encoder_decoder import EncoderDecoder as EncoderDecoder
    from rnnjax.models.encoder_decoder import TokenEncoder as TokenEncoder
    from rnnjax.models.encoder_decoder_config import EncoderDecoderModel as EncoderDecoderModel
    from rnnjax.models.forecast_config import ForecastModel as ForecastModel
    from rnnjax.models.head import PooledHead as PooledHead
    from rnnjax.models.image import ImageClassifier as ImageClassifier
    from rnnjax.models.language import RecurrentLM as RecurrentLM
    from rnnjax.models.sequence import SequenceNet as SequenceNet
    from rnnjax.models.side_inputs_config import SideInputTextModel as SideInputTextModel
    from rnnjax.models.text import TextClassifier as TextClassifier
    from rnnjax.runs.fitting import Result as Result
    from rnnjax.runs.fitting import fit as fit
    from rnnjax.runs.loggers import Logger as Logger
    from rnnjax.runs.predict import Predictor as Predictor
    from rnnjax.runs.predict import load as load
    from rnnjax.tasks import Classification as Classification
    from rnnjax.tasks import ClassificationWithLanguageLoss as ClassificationWithLanguageLoss
    from rnnjax.tasks import Forecast as Forecast
    from rnnjax.tasks import Metric as Metric
    from rnnjax.tasks import MultiLabel as MultiLabel
    from rnnjax.tasks import NextRegion as NextRegion
    from rnnjax.tasks import NextToken as NextToken
    from rnnjax.tasks import PerStep as PerStep
    from rnnjax.tasks import Regression as Regression
    from rnnjax.tasks import Report as Report
    from rnnjax.tasks import SequenceToSequence as SequenceToSequence
    from rnnjax.tasks import Task as Task
    from rnnjax.weights import Weights as Weights
    from rnnjax.weights import load_safetensors as load_safetensors
    from rnnjax.weights import save_safetensors as save_safetensors

# Where each public name lives. They are imported when first used: someone who imports a layer
# does not wait for Orbax, and the command line can set the number of devices first.
_HOMES = {
    "Experiment": "experiment",
    "Target": "experiment",
    "Compared": "experiment",
    "Variant": "experiment",
    "Arrays": "data.arrays",
    "ImageData": "data.images",
    "ImageFolderData": "data.images",
    "CorpusData": "data.corpus",
    "DocumentsCorpus": "data.corpus",
    "ForecastTable": "data.forecast_table",
    "PairData": "data.pair_config",
    "SelfTrainingText": "data.documents",
    "TextData": "data.documents",
    "TextTable": "data.documents",
    "SequenceTable": "data.sequence_table",
    "DataConfig": "config",
    "OptimConfig": "config",
    "TrainConfig": "config",
    "ParallelConfig": "config",
    "ModelConfig": "models.config",
    "ImageModel": "models.config",
    "ForecastModel": "models.forecast_config",
    "EncoderDecoderModel": "models.encoder_decoder_config",
    "LanguageModel": "models.config",
    "TextModel": "models.config",
    "PretrainedTextModel": "models.config",
    "SequenceModel": "models.config",
    "SideInputTextModel": "models.side_inputs_config",
    "Task": "tasks",
    "Metric": "tasks",
    "Report": "tasks",
    "Classification": "tasks",
    "ClassificationWithLanguageLoss": "tasks",
    "MultiLabel": "tasks",
    "Forecast": "tasks",
    "NextRegion": "tasks",
    "NextToken": "tasks",
    "PerStep": "tasks",
    "Regression": "tasks",
    "SequenceToSequence": "tasks",
    "Dataset": "data.examples",
    "Examples": "data.examples",
    "Plan": "data.plan",
    "Streams": "data.plan",
    "Preprocess": "data.preprocess",
    "Spec": "data.spec",
    "Shape": "data.spec",
    "fit": "runs.fitting",
    "Result": "runs.fitting",
    "Logger": "runs.loggers",
    "Predictor": "runs.predict",
    "main": "cli",
    "movable": "layers.movable",
    "Carried": "layers.carried",
    "LearnedCarry": "layers.carries",
    "LinearCell": "layers.cells",
    "RecurrentCell": "layers.cells",
    "chrono": "layers.cells",
    "identity": "layers.cells",
    "ConvStack": "layers.conv",
    "DataError": "errors",
    "RnnjaxError": "errors",
    "RunError": "errors",
    "UsageError": "errors",
    "sequence_mask": "layers.masks",
    "ImageClassifier": "models.image",
    "PooledHead": "models.head",
    "SequenceNet": "models.sequence",
    "RecurrentLM": "models.language",
    "TextClassifier": "models.text",
    "Decoder": "models.decoder",
    "Encoded": "models.encoder_decoder",
    "EncoderDecoder": "models.encoder_decoder",
    "TokenEncoder": "models.encoder_decoder",
    "Search": "config.language",
    "Outputs": "layers.outputs",
    "Packing": "layers.packing",
    "pack": "layers.packing",
    "AttentionPool": "layers.pooling",
    "pool": "layers.pooling",
    "load": "runs.predict",
    "Bidirectional": "layers.bidirectional",
    "RNN": "layers.rnn",
    "StackedRNN": "layers.stacked",
    "implementation": "layers.implementations",
    "reporting": "layers.implementations",
    "Weights": "weights",
    "load_safetensors": "weights",
    "save_safetensors": "weights",
}

_HOMES |= {path.rpartition(".")[2]: f"layers.cells.{path.partition('.')[0]}" for path in CELL_CLASSES.values()}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnjax' has no attribute {name!r}")
    return getattr(import_module(f"rnnjax.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})  # names that nobody has used yet are no globals
