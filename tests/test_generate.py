"""A language model goes on with a text: the mathematics of sampling, the stepwise decoding, and the command line."""

import dataclasses
import json
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.digits_rows import EXPERIMENT as DIGITS
from experiments.shakespeare_chars import EXPERIMENT as SHAKESPEARE
from rnnjax import RNN, Classification, LanguageModel, LSTMCell, NextToken, Predictor, RecurrentLM, Task, cli
from rnnjax.config.language import Sampling
from rnnjax.data.tokens import Vocabulary
from rnnjax.data.window_preprocess import WindowPreprocess
from rnnjax.errors import DataError, RunError, UsageError
from rnnjax.runs import commands, generate, sampling
from rnnjax.runs.generate import STEPS
from tests.language_run import trained
from tests.strangers import language_model
from tests.toy import assert_close

VOCABULARY = Vocabulary(("<pad>", "<unk>", *" abcdeKING:\n"))
CHARACTERS = WindowPreprocess(VOCABULARY, 8)


def predictor_of(preprocess=CHARACTERS, model=None, task: Task = NextToken()):  # noqa: B008
    """An untrained model, whose logits are spread so that some tokens are likelier than others."""
    spec = preprocess.spec
    if model is None:
        model = LanguageModel(features=(16, 12), embedding_features=6).build(spec, spec.outputs)
    variables = dict(jax.jit(model.init)(jax.random.key(1), **spec.zeros()))
    variables.pop("carry", None)
    return Predictor(model, jax.tree.map(lambda leaf: 3 * leaf, variables), preprocess, task, spec)


PREDICTOR = predictor_of()


def reference(logits, temperature, top_k, top_p):
    """The probabilities after each rule in its turn, a row at a time, in float64."""
    scaled = logits.astype(np.float64) / temperature
    ids = sorted(range(len(scaled)), key=lambda token: (-scaled[token], token))[: top_k or None]
    mass = np.exp(scaled[ids] - scaled[ids].max())
    mass /= mass.sum()
    kept, reached = [], 0.0
    for token, share in zip(ids, mass, strict=True):
        kept.append(token)
        reached += share
        if reached >= top_p:
            break
    chosen = np.zeros(len(logits))
    chosen[kept] = mass[: len(kept)] / mass[: len(kept)].sum()
    return chosen


def ours(logits, *how: Any):
    kept, ids = sampling.ranked(jnp.array(logits, jnp.float32), *how)
    probabilities = np.zeros(len(logits))
    probabilities[np.asarray(ids)] = np.asarray(jax.nn.softmax(kept))
    return probabilities


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.05, 5), st.integers(0, 12), st.floats(0.01, 0.99))
def test_what_is_sampled_among_is_that_of_the_rules_one_after_the_other(seed, temperature, top_k, top_p):
    logits = np.random.default_rng(seed).normal(size=9).astype(np.float32)
    np.testing.assert_allclose(
        ours(logits, temperature, top_k, top_p), reference(logits, temperature, top_k, top_p), atol=1e-5
    )


def test_the_nucleus_is_the_smallest_set_that_reaches_the_mass():
    logits = np.log([0.5, 0.25, 0.125, 0.125])
    for mass, kept in ((0.1, 1), (0.5, 1), (0.51, 2), (0.75, 2), (0.8, 3), (1.0, 4)):
        assert (ours(logits, 1.0, 0, mass) > 0).sum() == kept, mass
    # Of the two that are left, the first has 2/3 of the mass: top-k comes first.
    assert (ours(logits, 1.0, 2, 0.6) > 0).sum() == 1
    assert (ours(logits, 1.0, 3, 1e-9) > 0).sum() == 1


def test_equal_logits_keep_as_many_as_were_asked_for_and_the_lowest_ids():
    assert ours(np.zeros(6), 1.0, 2, 1.0).tolist() == [0.5, 0.5, 0, 0, 0, 0]
    assert (ours(np.zeros(5000), 1.0, 0, 1.0) > 0).all()


def test_draws_are_as_frequent_as_the_rules_say():
    logits, count = np.array([1.0, 0.2, -0.5, 2.0, 0.0, -np.inf], np.float32), 20_000
    how: Any = (0.8, 4, 0.9)
    keys = jax.random.split(jax.random.key(0), count)
    drawn = jax.jit(sampling.sample)(keys, np.tile(logits, (count, 1)), *how)
    found = np.bincount(np.asarray(drawn), minlength=6) / count
    expected = reference(logits, 0.8, 4, 0.9)
    assert (found[expected == 0] == 0).all()
    np.testing.assert_allclose(found, expected, atol=4 * np.sqrt(0.25 / count))


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-30, 1e-8])
def test_the_coldest_draws_are_the_most_probable_token(temperature):
    logits, how = jnp.array([[1.0, 3.0, 2.999, -np.inf], [5e4, 1e4, 0, 0]]), (jnp.float32(temperature), 0, 1.0)
    keys = jax.random.split(jax.random.key(0), 2)
    drawn: Any = jax.jit(sampling.sample)(keys, logits, *how)
    assert drawn.tolist() == [1, 0]


@pytest.mark.parametrize("temperature", [1e30, 3e38, np.inf])
def test_the_hottest_draws_are_of_all_tokens_alike_that_may_be_drawn(temperature):
    logits, keys = jnp.tile(jnp.array([-jnp.inf, 1.0, 3.0]), (100, 1)), jax.random.split(jax.random.key(0), 100)
    drawn: Any = jax.jit(sampling.sample)(keys, logits, jnp.float32(temperature), 0, 1.0)
    counts = np.bincount(drawn, minlength=3)
    assert counts[0] == 0 and counts[1] > 30 and counts[2] > 30


def test_decoding_step_by_step_is_one_call_over_the_text():
    ids = np.random.default_rng(0).integers(0, len(VOCABULARY), (3, 21)).astype(np.int32)
    generator, step = PREDICTOR.generator, jax.jit(PREDICTOR.generator.decode)
    carry, found = generator.beginning(3), []
    for token in ids.T:
        carry, logits = step(carry, token)
        found.append(logits)
    assert_close(np.stack(found, 1), PREDICTOR.model.apply(PREDICTOR.variables, ids), 1e-5)


@pytest.mark.parametrize("prompt", ["K", "KING: a", "KING: a bad cab\n" * 3])
def test_greedy_text_is_the_argmax_of_the_whole_sequence_model(prompt):
    length = 2 * STEPS + 3
    made = PREDICTOR.generate(prompt, length, temperature=0)
    ids = CHARACTERS.ids(prompt + made)
    logits = np.array(PREDICTOR.model.apply(PREDICTOR.variables, ids[None]))[0]
    logits[:, list(CHARACTERS.never)] = -np.inf
    assert logits[-length - 1 : -1].argmax(-1).tolist() == ids[-length:].tolist()
    assert len(made) == length


def test_a_row_is_the_same_beside_any_number_of_others():
    one, three = (PREDICTOR.generate(["KING:"] * rows, 30, seed=4) for rows in (1, 3))
    assert three[0] == one[0] == PREDICTOR.generate("KING:", 30, seed=4)
    assert len(set(three)) == 3
    assert PREDICTOR.generate("KING:", 30, seed=5) != one[0]
    assert PREDICTOR.generate("KING:", 11, seed=4) == one[0][:11]
    assert PREDICTOR.generate("KING:", 0) == ""


def test_all_settings_and_prompts_share_one_compiled_step():
    steps = predictor_of().generator
    for prompt, how in (
        ([[4]], {}),
        ([[4] * 40], {"top_k": 3, "temperature": 0.0}),
        ([[5]], {"top_p": 0.5, "seed": 2}),
    ):
        assert sum(part.shape[1] for part in steps.stream(prompt, Sampling(length=20, **how))) == 20
    compiled: Any = steps._drawn_steps
    assert compiled._cache_size() == 1


def test_padding_and_the_unknown_token_are_never_drawn():
    likely = jax.tree.map(np.array, PREDICTOR.variables)
    likely["params"]["head"]["bias"][:2] = 50.0
    eager = dataclasses.replace(PREDICTOR, variables=likely)
    for temperature in (1.0, 0.0, 100.0):
        ids = eager.generate([[5, 6]] * 4, 200, temperature=temperature)
        assert ids.shape == (4, 200)
        assert ids.min() >= 2


def test_logits_that_are_no_numbers_are_said():
    broken = dataclasses.replace(PREDICTOR, variables=jax.tree.map(lambda leaf: leaf * np.nan, PREDICTOR.variables))
    with pytest.raises(RunError, match="no numbers"):
        broken.generate("K", 3)


BYTES = WindowPreprocess(Vocabulary.of_bytes(), 8, "bytes")
WORDS = WindowPreprocess(Vocabulary(("<pad>", "<unk>", "the", "king", ".")), 8, "words")


@given(st.text(), st.integers(1, 5))
def test_bytes_become_characters_once_they_are_whole(text, size):
    ids, join = BYTES.ids(text), BYTES.joiner()
    parts = [join(ids[i : i + size]) for i in range(0, len(ids), size)]
    assert "\ufffd" in text or "\ufffd" not in "".join(parts)
    assert "".join(parts) + join([], final=True) == BYTES.text(ids)
    assert BYTES.text(ids) == text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def test_bytes_that_are_no_text_are_shown_as_such():
    assert BYTES.text(BYTES.ids("é")[:1]) == "\ufffd"
    assert BYTES.text([2 + 0xFF, 2 + ord("a")]) == "\ufffda"


def test_words_are_joined_by_spaces_and_padding_is_left_out():
    assert WORDS.text([2, 3, 4, 0, 0]) == "the king ."
    assert WORDS.text([1]) == "<unk>"
    assert CHARACTERS.text(CHARACTERS.ids("KING: abé")) == "KING: ab\ufffd"
    made = predictor_of(WORDS).generate("The king", 5)
    assert made.startswith(" ")
    assert len(made.split()) == 5


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        ("KIöNG é", "characters outside the model's vocabulary: 'ö', 'é'"),
        ("", "the prompt is empty"),
        (["K", "KI"], "must be of one length in tokens"),
        (np.zeros((1, 0), np.int32), r"token ids \[B, T\]"),
        (np.zeros(3, np.int32), r"token ids \[B, T\]"),
        (np.zeros((1, 2)), r"token ids \[B, T\]"),
        ([[3, 99]], "must lie in 0..13"),
        ([[-1]], "must lie in 0..13"),
        ([[3, 4], [3]], "rows of one length; these rows differ"),
    ],
)
def test_a_prompt_that_the_model_cannot_read_is_refused(prompt, message):
    with pytest.raises(DataError, match=message):
        PREDICTOR.generate(prompt, 3)


@pytest.mark.parametrize("text", ["K", "KING" * 9])
def test_a_text_of_another_length_than_the_window_has_its_logits_too(text):
    ids = PREDICTOR.preprocess.encode([text])["inputs"]
    assert ids.shape == (1, len(text)) != PREDICTOR.spec.inputs["inputs"].shape
    wanted = PREDICTOR.model.apply(PREDICTOR.variables, ids)
    np.testing.assert_allclose(PREDICTOR.logits([text]), wanted, atol=1e-5)


def test_a_predictor_is_shown_without_its_vocabulary():
    assert f"Vocabulary({len(CHARACTERS.vocabulary):,} tokens)" in repr(PREDICTOR.preprocess)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("length", -1),
        ("temperature", -0.1),
        ("temperature", float("nan")),
        ("temperature", float("inf")),
        ("top_p", 0.0),
        ("top_p", 1.1),
        ("top_k", -1),
        ("seed", -1),
    ],
)
def test_a_setting_that_is_none_is_refused(option, value, capsys):
    name = f"--{option.replace('_', '-')}"
    with pytest.raises(UsageError, match=f"{name} must be"):
        PREDICTOR.generate("K", **{option: value})
    assert cli.main(SHAKESPEARE, ["predict", "--prompt", "K", name, str(value)]) == 2
    assert f"{name} must be" in capsys.readouterr().err


def test_a_setting_that_is_no_number_is_refused_and_one_of_numpy_is_a_number():
    for option in ("length", "temperature", "top_k", "top_p", "seed"):
        for none in ("1", None):
            asked: Any = {option: none}
            with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} must be"):
                PREDICTOR.generate("K", **asked)
    given: Any = {"length": np.int64(4), "top_k": np.int32(3), "seed": np.int64(1)}
    given |= {"temperature": np.float32(0.5), "top_p": np.float64(0.9)}
    ours = PREDICTOR.generate("K", **given)
    assert ours == PREDICTOR.generate("K", 4, temperature=0.5, top_k=3, top_p=0.9, seed=1)


def test_a_model_that_cannot_go_on_says_why():
    classifier = predictor_of(task=Classification())
    with pytest.raises(UsageError, match="no language model"):
        classifier.generate("K")
    forgetful = RecurrentLM(len(VOCABULARY), 4, RNN(LSTMCell(5)))
    with pytest.raises(UsageError, match=r"put its recurrence into rnnjax\.Carried"):
        predictor_of(model=forgetful).generate("K")


def test_a_model_and_data_of_ones_own_go_on_with_ids():
    experiment = language_model.EXPERIMENT
    dataset = experiment.data.load()
    variables = experiment.model.init(jax.random.key(0), **dataset.spec.zeros())
    stranger = Predictor(
        experiment.model, {"params": variables["params"]}, dataset.preprocess, experiment.task, dataset.spec
    )
    made = stranger.generate(language_model.ASK, 7, temperature=0)
    assert made.shape == (5, 7)
    text = np.concatenate([language_model.ASK, made], 1)
    logits = np.asarray(experiment.model.apply({"params": variables["params"]}, text))
    np.testing.assert_array_equal(logits[:, -8:-1].argmax(-1), made)
    with pytest.raises(UsageError, match="hand over token ids"):
        stranger.generate("abc")


# The command line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The work folder of a short run on a text, with what the run said."""
    return trained(tmp_path_factory.mktemp("language"))


def asked(capsys, *arguments, experiment=SHAKESPEARE):
    code = cli.main(experiment, ["predict", *map(str, arguments)])
    return code, *capsys.readouterr()


def test_a_run_ends_with_the_command_that_goes_on_with_a_text(folder):
    root, said = folder
    assert f"predict --workdir {root} --prompt The" in said
    assert "test windows" in said


def test_the_command_prints_the_text_alone(folder, capsys):
    root, _ = folder
    how = ("--workdir", root, "--prompt", "KING: é", "--length", "40", "--seed", "3")
    code, out, err = asked(capsys, *how)
    assert (code, err) == (0, "")
    assert out.startswith("KING: é")
    assert len(out) == len("KING: é") + 40 + 1
    code, lines, _ = asked(capsys, *how, "--number", "2", "--json-lines")
    first, second = map(json.loads, lines.splitlines())
    assert first == {"prompt": "KING: é", "text": out[len("KING: é") : -1]}
    assert second["text"] != first["text"]
    code, both, _ = asked(capsys, *how, "--number", "2")
    assert both == f"{out}\nKING: é{second['text']}\n"


def test_what_does_not_belong_together_is_one_sentence(folder, capsys):
    root, _ = folder
    for arguments, message in (
        (("a.txt",), "goes on with a text: give --prompt TEXT"),
        (("--text", "a"), "goes on with a text: give --prompt TEXT"),
        ((), "goes on with a text: give --prompt TEXT"),
        (("--prompt", "The", "--text", "a"), "give one of the two"),
        (("--length", "3"), "of --prompt TEXT, which is not given"),
        (("--prompt", "The", "--number", "0"), "--number must be positive"),
        (("--prompt", "The ß"), "outside the model's vocabulary: 'ß'"),
        (("--prompt", ""), "the prompt is empty"),
    ):
        code, out, err = asked(capsys, "--workdir", root, *arguments)
        assert (code, out) == (2 if "vocabulary" not in message and "empty" not in message else 1, ""), arguments
        assert err.startswith("error: ")
        assert message in err
        assert err.count("\n") == 1


def test_ctrl_c_ends_the_text_where_it_is(capsys, monkeypatch):
    def interrupted(*_):
        yield ["a b"]
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "_loaded", lambda *_: PREDICTOR)
    monkeypatch.setattr(generate, "going_on", interrupted)
    assert asked(capsys, "--prompt", "KING: ") == (130, "KING: a b\n", "")


def test_a_reader_that_has_gone_ends_it(capsys, monkeypatch):
    class Closed:
        def write(self, _):
            raise BrokenPipeError

        def flush(self):
            pass

    monkeypatch.setattr(commands, "_loaded", lambda *_: PREDICTOR)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert cli.main(SHAKESPEARE, ["predict", "--prompt", "KING: "]) == 1
    assert "error" not in capsys.readouterr().err


def test_a_prompt_is_for_language_models(capsys, monkeypatch):
    monkeypatch.setattr(commands, "_loaded", lambda *_: predictor_of(task=Classification()))
    code, _, err = asked(capsys, "--prompt", "K", experiment=DIGITS)
    assert code == 2
    assert "--prompt is for language models, and runs/digits_rows/seed-0 holds none" in err
