"""What --help shows of an experiment, what --help-all adds, and that both say what an option does."""

import dataclasses
import functools
import re

import pytest

import experiments
from experiments import bag_of_words, blend_commands, imdb_together
from experiments.__main__ import main as list_experiments
from experiments.digits_rows import EXPERIMENT as DIGITS
from experiments.image_folder import EXPERIMENT as FOLDER
from experiments.imdb_lstm import EXPERIMENT as TEXTS
from rnnjax import Regression, misspelt, own
from rnnjax.cli import COMMANDS, main
from rnnjax.config import DataConfig, OptimConfig, ParallelConfig, TrainConfig
from rnnjax.config.run import is_section
from rnnjax.data.documents import TextData, TextTable
from rnnjax.data.images import ImageData, ImageFolderData
from rnnjax.experiment import Experiment
from rnnjax.models.config import ImageModel, TextModel
from rnnjax.options import field_comments

EXPERIMENTS = [experiment for experiment in experiments.every() if isinstance(experiment, Experiment)]
SECTIONS = (OptimConfig, TrainConfig, ParallelConfig, DataConfig, ImageData, ImageFolderData, TextData, TextTable)


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a command line shows and then ends with exit code 0, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")

    def show(experiment, *arguments):
        with pytest.raises(SystemExit) as ended:
            main(experiment, list(arguments))
        assert ended.value.code == 0
        return capsys.readouterr().out

    return show


def words(text):
    """The text without the boxes that it stands in, where there are any."""
    return " ".join(text.replace("│", "").split())


def options(text):
    return set(re.findall(r"^[│ ] (--[a-z][\w.-]*)", text, flags=re.MULTILINE))


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda experiment: experiment.name)
def test_help_fits_on_a_screen_or_two_and_says_how_many_options_it_left_out(experiment, shown):
    brief, whole = shown(experiment, "train", "--help"), shown(experiment, "train", "--help-all")
    assert len(brief.splitlines()) <= 100
    assert max(map(len, brief[brief.index("options ") :].splitlines())) <= 80
    left_out = options(whole) - options(brief)
    assert options(brief) < options(whole)
    assert brief.splitlines()[-1].startswith(f"{len(left_out)} more options")
    assert "--help-all" in brief.splitlines()[-1]
    assert "more options" not in whole


@pytest.mark.parametrize(("module", "arguments"), [(imdb_together, []), (bag_of_words, []), (bag_of_words, ["train"])])
def test_a_command_line_without_rare_options_takes_help_all_as_help(module, arguments, capsys):
    parse = getattr(module, "_parse", functools.partial(blend_commands.parse, module.EXPERIMENT))
    shown = []
    for asked in ("--help", "--help-all"):
        with pytest.raises(SystemExit) as ended:
            parse([*arguments, asked])
        assert ended.value.code == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] and len(shown[1].splitlines()) <= 100


def test_a_rare_option_is_accepted_and_found_by_its_typo(shown, tmp_path, capsys):
    assert "--optim.warmup-fraction" not in shown(DIGITS, "train", "--help")
    assert main(DIGITS, ["--optim.warmup-fraction", "2", "--runs-dir", str(tmp_path)]) == 2
    assert "--optim.warmup-fraction must be at least 0 and below 1" in capsys.readouterr().err
    assert main(DIGITS, ["--optim.warmup-fracton", "0.1"]) == 2
    assert "did you mean --optim.warmup-fraction?" in capsys.readouterr().err


def test_help_has_what_a_token_of_pairs_is(shown):
    assert {"--data.source-splitter", "--data.target-splitter"} <= options(shown(own.PAIRS, "train", "--help"))


def test_an_option_that_turns_something_off_says_what_happens_then(shown):
    text = words(shown(FOLDER, "train", "--help-all"))
    for option, says in (
        ("--train.no-test", "Leave the test split alone"),
        ("--train.no-compilation-cache", "Keep no compiled programs"),
        ("--model.no-bidirectional", "Read each sequence forwards only."),
        ("--model.no-batch-norm", "Normalise no convolution's outputs."),
        ("--data.flip", "Augment: mirror"),
    ):
        assert f"{option} {says}" in text


def test_every_option_has_a_help_text_and_every_flag_says_its_opposite():
    for cls in (*SECTIONS, ImageModel, TextModel):
        said = field_comments(cls)
        for entry in dataclasses.fields(cls):
            if entry.metadata.get("not_offered"):
                continue
            assert said.get(entry.name), f"{cls.__name__}.{entry.name}"
            assert len(said[entry.name]) <= 130, (
                f"{cls.__name__}.{entry.name}: the rest belongs to the class's docstring"
            )
            if entry.type in (bool, "bool"):
                assert entry.metadata.get("off"), f"{cls.__name__}.{entry.name}"


def test_what_does_not_apply_is_neither_shown_nor_accepted(shown, capsys):
    regression = dataclasses.replace(
        DIGITS, task=Regression(), optim=dataclasses.replace(DIGITS.optim, label_smoothing=0.0), target=None
    )
    assert "--optim.label-smoothing" in shown(DIGITS, "train", "--help")
    for experiment, option in (
        (regression, "--optim.label-smoothing"),
        (FOLDER, "--data.crop-size"),
        (FOLDER, "--data.test-split"),
        (TEXTS, "--data.flip"),
    ):
        assert option not in shown(experiment, "train", "--help-all")
        assert main(experiment, [option, "0"]) == 2
        assert f"train has no option {option}" in capsys.readouterr().err


def test_help_all_says_what_each_section_is_about(shown):
    text = words(shown(DIGITS, "train", "--help-all"))
    assert all(" ".join(str(type(part).__doc__).split()) in text for part in vars(DIGITS).values() if is_section(part))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.cell", "lstn"], "--model.cell: there is no 'lstn'; did you mean lstm?"),
        (["--model.cell=lstn"], "did you mean lstm?"),
        (["train", "--optim.optimizer", "adma"], "did you mean adam"),
        (["--model.pooling", "last", "meen"], "did you mean mean?"),
        (["--data.shift_padding", "refelct"], "did you mean reflect?"),
        (["evaluate", "--split", "tset"], "did you mean test?"),
        (["evalute"], "did you mean evaluate?"),
        (["predct", "a.png"], "did you mean predict?"),
    ],
)
def test_a_typo_of_a_verb_or_of_a_choice_names_the_nearest(arguments, message, capsys):
    assert main(DIGITS, arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle.cell", "gru"], "train has no option --modle.cell; did you mean --model.cell?"),
        (["--train.no-tst"], "--train.no-test?"),
        (["--optim.lr", "0.1"], "did you mean --optim.learning-rate?"),
        (["--seed=1"], "did you mean --seeds?"),
        (["--profile"], "did you mean --train.profile?"),
        (["--epochs", "3"], "did you mean --train.epochs?"),
        (["--data.batchsize", "3"], "did you mean --data.batch-size?"),
        (["--train.test"], "it is on already, and --train.no-test turns it off"),
        (["--train.no-profile"], "it is off already, and --train.profile turns it on"),
        (["--split", "test"], "train has no option --split, which is of evaluate;"),
        (["evaluate", "--othr-data"], "--other-data?"),
        (["predict", "--jsn-lines"], "--json-lines?"),
        (["--quite-another"], "train has no option --quite-another; "),
    ],
)
def test_a_typo_of_an_option_names_the_nearest_and_what_lists_all(arguments, message, capsys):
    assert main(DIGITS, arguments) == 2
    error = capsys.readouterr().err
    verb = "train" if arguments[0].startswith("-") else arguments[0]
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert error.endswith(f"python -m experiments.digits_rows {verb} --help-all lists all\n")


@pytest.mark.parametrize("experiment", [*EXPERIMENTS[:3], TEXTS], ids=lambda experiment: experiment.name)
@pytest.mark.parametrize("verb", COMMANDS)
def test_every_option_that_is_shown_is_known_where_typos_are_looked_for(experiment, verb, shown, monkeypatch):
    known = {}
    monkeypatch.setattr(misspelt, "check", lambda arguments, of_verbs, command: known.update(of_verbs))
    found = options(shown(experiment, verb, "--help-all"))
    assert len(found) > 3
    assert found <= set(known[verb])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--model.cell", "transformer"], "'simple_rnn', 'lstm'"), (["--train.epochs", "many"], "--train.epochs")],
)
def test_a_wrong_value_of_an_option_says_what_is_possible(arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(DIGITS, arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--train.until", "--train.until-accuracy", "--until-accuracy"])
def test_committed_commands_keep_their_names_of_options(option, capsys):
    assert main(DIGITS, [option, "2"]) == 2
    assert "--train.until must be above 0 and at most 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("mnist_row", "did you mean python -m experiments.mnist_rows?"),
        ("imdb-lstm", "did you mean python -m experiments.imdb_lstm?"),
        ("--lsit", "python -m experiments lists all"),
    ],
)
def test_a_typo_of_an_experiment_names_the_nearest(argument, message, capsys):
    assert list_experiments([argument]) == 2
    assert message in capsys.readouterr().err


def test_the_list_of_experiments_fits_on_a_screen_and_begins_with_data_of_ones_own(capsys):
    assert list_experiments([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 40
    own = [name for name in experiments.NAMES if experiments.load(name).target is None]
    assert {line.split()[0] for line in lines[1 : 1 + len(own)]} == set(own)
    assert all(any(name in line for line in lines) for name in experiments.NAMES)


def test_an_experiment_by_its_name_is_shown_with_all_its_variants(capsys):
    assert list_experiments(["cifar10_cnn_rnn"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("target  ") == shown.count("cost  ") == 1 + len(experiments.load("cifar10_cnn_rnn").variants)
    assert "--variant pooled" in shown


def test_training_names_its_option_where_the_work_folder_of_another_command_is_given(capsys):
    for given in (["--workdir", "here"], ["train", "--workdir=here"]):
        assert main(Experiment(data=ImageData(name="digits"), model=ImageModel()), given) == 2
        assert "--runs-dir" in capsys.readouterr().err


def test_help_is_silent_on_a_cost_that_an_experiment_does_not_say(capsys):
    for cost, said in (("", False), ("a minute", True)):
        with pytest.raises(SystemExit):
            main(Experiment(data=ImageData(name="digits"), model=ImageModel(), cost=cost), ["--help"])
        assert ("Cost:" in capsys.readouterr().out) == said
