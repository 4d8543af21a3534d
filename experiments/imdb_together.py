"""Sentiment of IMDB reviews by n-grams and the pretrained reader together: log probabilities, weighed on validation.

What one has right is not what the other has right. ``train`` takes the work folders of finished runs, of which none is
trained again; ``evaluate`` and ``predict`` take them together, and ``label`` writes what they think of the 50,000
unlabelled reviews, for ``imdb_self_trained``. The paired tests between all of them are in the result file.
"""

import functools
import sys

from experiments.blend import Blend, Blended
from experiments.blend_commands import parse
from rnnjax import Target, cli

EXPERIMENT = Blended(
    name="imdb_together",
    summary="n-grams and the pretrained reader together classify IMDB reviews",
    target=Target(value=0.93, source="naive-Bayes n-grams alone: 91.9 %"),
    cost="two finished runs read the documents once",
    config=Blend(("bag_of_words-nb", "imdb_pretrained-regions-tuned")),
)

if __name__ == "__main__":
    sys.exit(cli.run(functools.partial(parse, EXPERIMENT)))
