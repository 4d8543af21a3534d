"""Region embeddings of 75,000 film reviews, labels aside: what readers of ``imdb_pretrained`` begin with.

An LSTM reads the reviews of ``imdb_language_model`` and predicts at each word which words are among the next 20, in any
order and but for the most frequent ones (Johnson and Zhang 2016, arXiv:1602.02373). The test loss is over the whole
vocabulary, in nats a word of a region. In training the softmax is over a region's words and 1,024 that stand for all.
"""

import sys

from rnnjax import (
    Classification,
    DocumentsCorpus,
    Experiment,
    LanguageModel,
    NextRegion,
    OptimConfig,
    SideInputTextModel,
    Target,
    TrainConfig,
    Variant,
    main,
)

EXPERIMENT = Experiment(
    name="imdb_regions",
    summary="an LSTM(200) with carried state predicts which words are among the next 20 of a film review",
    target=Target(value=8.2, source="a model that knows the frequencies of the words alone: 8.208"),
    cost="its time is in its result file",
    data=DocumentsCorpus(batch_size=64, window=50),
    model=LanguageModel(features=(200,), embedding_features=200, tied=True),
    task=NextRegion(ahead=20, without_most_frequent=50),
    optim=OptimConfig(learning_rate=5e-3, schedule="cosine", warmup_fraction=0.02, sampled_tokens=1024),
    train=TrainConfig(epochs=2, steps_per_call=16),
    variants={"backward": Variant("the same, each review read from its end", data={"direction": "backwards"})},
)

# Two variants of imdb_pretrained: one reads with the regions as they are, one trains them on.
BEGINS = {"forwards": EXPERIMENT, "backwards": EXPERIMENT.variant("backward")}

READER = Variant(
    "a bidirectional LSTM(128) reads words beside what two frozen LSTM(200) of imdb_regions make of their surroundings",
    optim={"groups": ("^(forwards|backwards)=0",), "language_weight": 0.0},
    replace={
        "model": SideInputTextModel(
            encoder_features=(200,), embedding_dropout=0.3, word_dropout=0.2, word_dropout_of="types", dropout=0.5
        ),
        "task": Classification(),
        "begins": BEGINS,
    },
)

TUNED = Variant(
    "the reader of two language models, with two LSTM(200) of imdb_regions in their place",
    model={"features": (200,)},
    optim={"language_weight": 0.0},
    replace={"task": Classification(), "begins": BEGINS},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
