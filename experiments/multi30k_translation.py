"""English image captions in German: byte pairs, a bidirectional encoder, a decoder with attention (H 512).

Multi30k (Elliott et al. 2016, arXiv:1605.00459) is for research; its raw files of task 1, such as ``train.en.gz``, are
in the repository multi30k/dataset on GitHub. Name their folder:

    python -m experiments.multi30k_translation --data.path FOLDER

29,000 pairs are trained on and 1,014 are validation, as published; the test is that of 2016 (Flickr), and that of 2017
is reported beside it. BLEU is sacrebleu's in lower case with tokenisation 13a, of greedy decoding; its signature is in
the result. ``evaluate --split test --beam 5`` has that of a beam.
"""

import sys

from rnnjax import (
    EncoderDecoderModel,
    Experiment,
    OptimConfig,
    PairData,
    ParallelConfig,
    SequenceToSequence,
    Target,
    TrainConfig,
    Variant,
    main,
)

EXPERIMENT = Experiment(
    name="multi30k_translation",
    summary="an encoder and decoder with attention (H 512) translate image captions from English to German",
    target=Target(value=33.0, source="attention and LSTM on text alone: 33 to 38, by tokenisation"),
    bars=True,
    cost="nine epochs of 29,000 pairs",
    data=PairData(
        name="multi30k",
        source="en",
        target="de",
        test_parts=("test_2016_flickr", "test_2017_flickr"),
        source_splitter="byte-pairs",
        target_splitter="byte-pairs",
        source_vocabulary=5000,
        target_vocabulary=5000,
        lowercase=True,
        batch_size=64,
    ),
    model=EncoderDecoderModel(
        encoder_features=(256,), features=(512,), embedding_features=256, dropout=0.4, embedding_dropout=0.2, tied=True
    ),
    task=SequenceToSequence(score="bleu"),
    optim=OptimConfig(learning_rate=1e-3, schedule="cosine", label_smoothing=0.1, ema_decay=0.998),
    train=TrainConfig(epochs=9, steps_per_call=16),
    parallel=ParallelConfig(cpu_devices=2),
    variants={
        "no_attention": Variant(summary="the same without attention", model={"attention": "none"}),
        "de_en": Variant(summary="the same from German to English", data={"source": "de", "target": "en"}),
    },
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
