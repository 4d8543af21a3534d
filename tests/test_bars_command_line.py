"""The command lines of what is trained outside the package: typos are one sentence, and a folder has one training."""

from functools import partial

import pytest

from experiments import bag_of_words, finished
from experiments.blend_commands import parse
from experiments.imdb_together import EXPERIMENT
from rnnjax import cli


def words(*arguments):
    return cli.run(bag_of_words._parse, list(map(str, arguments)))


def together(*arguments):
    return cli.run(partial(parse, EXPERIMENT), list(map(str, arguments)))


@pytest.mark.parametrize(
    ("run", "arguments", "meant"),
    [
        (words, ["train", "--max-ngarm", 2], "train has no option --max-ngarm; did you mean --max-ngram?"),
        (words, ["--max_ngarm=2"], "train has no option --max-ngarm; did you mean --max-ngram?"),
        (words, ["predict", "--split", "test"], "predict has no option --split, which is of evaluate"),
        (words, ["trian"], "unknown command 'trian'; did you mean train?"),
        (together, ["label", "--two", "x"], "label has no option --two; did you mean --to?"),
        (together, ["lable"], "unknown command 'lable'; did you mean label?"),
    ],
)
def test_a_typo_is_one_sentence(capsys, run, arguments, meant):
    assert run(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {meant}")


@pytest.mark.parametrize("run", [words, together])
def test_of_two_trainings_in_one_folder_the_second_is_refused(tmp_path, capsys, run):
    with finished.alone(tmp_path):
        assert run("train", "--workdir", tmp_path) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}: a training is at work there" in said and "use another --workdir" in said
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]
