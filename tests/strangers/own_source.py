"""A source of data of one's own with its own preprocessing: strands of DNA, with or without a motif."""

from dataclasses import dataclass

import numpy as np

import rnnjax


@dataclass(frozen=True)
class Bases(rnnjax.Preprocess):
    """Strings over an alphabet to numbers, 1 and up in its order; 0 is padding."""

    kind = "bases"
    alphabet: str = "ACGT"

    def encode(self, raw):
        if bad := [text for text in raw if not text or set(text) - set(self.alphabet)]:
            raise rnnjax.DataError(f"{bad[0]!r} is no strand of {self.alphabet}")
        lengths = np.array([len(text) for text in raw], np.int32)
        rows = [[1 + self.alphabet.index(base) for base in text] + [0] * (max(lengths) - len(text)) for text in raw]
        return {"inputs": np.array(rows, np.int32), "lengths": lengths}

    def to_json(self):
        return {"kind": self.kind, "alphabet": self.alphabet}

    @classmethod
    def from_json(cls, values):
        return cls(values["alphabet"])


@dataclass(frozen=True, kw_only=True)
class Strands(rnnjax.DataConfig):
    motif: str = "GG"
    """What the strands are searched for."""

    def load(self):
        bases, rng, splits = Bases(), np.random.default_rng(0), []
        for count in (320, 64, 96):
            raw = ["".join(rng.choice(list(bases.alphabet), rng.integers(4, 12))) for _ in range(count)] + ["T" * 12]
            arrays = bases.encode(raw) | {"labels": np.array([self.motif in text for text in raw], np.int32)}
            splits.append(rnnjax.Examples(arrays, arrays.pop("lengths"), ("inputs",)))
        inputs = {name: rnnjax.Shape.of(array[:1]) for name, array in splits[0].stored().items() if name != "labels"}
        spec = rnnjax.Spec(inputs, outputs=2, vocabulary=5, names=("without", "with"))
        return rnnjax.Dataset("strands", splits[0], splits[1], splits[2], bases, given=spec, plan=rnnjax.Plan((8, 12)))

    def preprocesses(self):
        return (Bases,)


EXPERIMENT = rnnjax.Experiment(
    name="own_source",
    data=Strands(batch_size=16),
    model=rnnjax.TextModel(embedding_features=8, features=(16,), pooling=("max",)),
    optim=rnnjax.OptimConfig(learning_rate=3e-2),
    train=rnnjax.TrainConfig(epochs=6, steps_per_call=4),
)
BAR = 0.65  # the share of the test strands without the motif is less
ASK = ["ACGT", "AGGACCA", "GG", "TTTTTGGTTTTT", "A"]
