"""Sentiment of IMDB reviews by a large reader of ``imdb_pretrained``, for an accelerator.

Two language models of LSTM(1024) come first, ten epochs each: ``--chain`` trains them, ``--init-from`` takes what there
is. The reader's virtual adversarial training asks for no label, and so learns of the 50,000 unlabelled reviews too
(Miyato et al. 2017, arXiv:1605.07725). ``plan --for h200:8`` compiles its step for a machine that is not there.
"""

import dataclasses
import sys

from experiments.imdb_language_model import EXPERIMENT as LANGUAGE_MODEL
from experiments.imdb_pretrained import EXPERIMENT as READER
from experiments.imdb_self_trained import EXPERIMENT as SELF_TRAINED
from rnnjax import ParallelConfig, Target, main

EXPERIMENT = dataclasses.replace(
    READER,
    name="imdb_large",
    summary="two pretrained LSTM(1024) read IMDB reviews; virtual adversarial training on unlabelled ones too",
    target=Target(value=0.941, source="naive-Bayes n-grams: 91.8 %; LSTM(1024) trained so: 94.1 %"),
    cost="an accelerator, for hours",
    data=dataclasses.replace(SELF_TRAINED.data, batch_size=256, without_labels=True),
    model=dataclasses.replace(READER.model, features=(1024,)),
    optim=dataclasses.replace(READER.optim, adversarial=0.02, adversarial_by="answers"),
    train=dataclasses.replace(READER.train, epochs=10),
    parallel=ParallelConfig(),
    seeds=(0,),
    begins={"forwards": LANGUAGE_MODEL.variant("large"), "backwards": LANGUAGE_MODEL.variant("large-backward")},
    variants={},
)

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
