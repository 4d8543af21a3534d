"""Region embeddings of 75,000 film reviews, labels aside: what readers of ``imdb_pretrained`` begin with.

An LSTM reads the reviews of ``imdb_language_model`` and predicts at each word which words are among the next 20, in any
order and but for the most frequent ones (Johnson and Zhang 2016, arXiv:1602.02373). The test loss is over the whole
vocabulary, in nats a word of a region. In training the softmax is over a region's words and 1,024 that stand for all.
"""

import sys

from rnnjax import (
    DocumentsCorpus,
    Experiment,
    LanguageModel,
    NextRegion,
    OptimConfig,
    Target,
    TrainConfig,
    Variant,
    main,
)

EXPERIMENT = Experiment(
    name="imdb_regions",
    summary="an LSTM(200) with carried state predicts which words are among the next 20 of a film review",
    target=Target(value=8.2, source="below the frequencies of the words alone, its bar"),
    bars=True,
    cost="two epochs of 74,000 reviews",
    data=DocumentsCorpus(batch_size=64, window=50),
    model=LanguageModel(features=(200,), embedding_features=200, tied=True),
    task=NextRegion(ahead=20, without_most_frequent=50),
    optim=OptimConfig(learning_rate=5e-3, schedule="cosine", warmup_fraction=0.02, sampled_tokens=1024),
    train=TrainConfig(epochs=2, steps_per_call=16),
    variants={"backward": Variant("the same, each review read from its end", data={"direction": "backwards"})},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
