"""Makes the tables of the Markdown pages from the committed result files: ``python -m experiments.report``."""

import shutil
import sys
from pathlib import Path
from typing import Annotated, Any

import tyro

from experiments import (
    NAMES,
    fields,
    finished,
    gaps,
    label_counts,
    ladder,
    load,
    measured,
    pairs,
    plain_models,
    plots,
    tables,
    trials,
    variants_in_pairs,
)
from experiments.benchmarks import markdown
from rnnjax.errors import DataError, RnnjaxError, UsageError
from rnnjax.files import read_json

ROOT = Path(__file__).resolve().parents[1]
RESULTS = tables.RESULTS
TRIALS = RESULTS / "trials"

README = ROOT / "README.md"
EXPERIMENTS = ROOT / "experiments" / "README.md"
BENCHMARKS = markdown.PAGE
PAGES = (README, EXPERIMENTS, BENCHMARKS)
"""What is made by the command stands in them between two marks each."""

Sections = dict[str, str]


def sections(results: dict[str, tables.Results], tried: dict[str, tables.Results]) -> dict[Path, Sections]:
    """What is made for each page, by the name in its marks."""
    return {
        README: {"results": tables.short(results), "speed": markdown.short(page=README)},
        EXPERIMENTS: {
            "fields": fields.page(results),
            "results": tables.full(results),
            "plain models": plain_models.table(results),
            "variants in pairs": variants_in_pairs.table(results),
            "gaps": gaps.table(results, tried),
            "ladder": ladder.table(results),
            "pairs": pairs.table(results, tried),
            "labels": label_counts.table(label_counts.points(results, tried)),
            "trials": trials.table(tried, results),
        },
        BENCHMARKS: {"performance": markdown.section(page=BENCHMARKS)},
    }


def made_anew(text: str, made: Sections) -> str:
    """A page's text with what stands between its marks made anew.

    Raises:
      DataError: if a section's two marks are not there, once each and in their order.
    """
    for name, content in made.items():
        begin, end = f"<!-- {name}: made by python -m experiments.report -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
            raise DataError(f"a page needs one line {begin} and, after it, one line {end}; put them back")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{content}\n{end}{rest.partition(end)[2]}"
    return text


def collect(workdirs: tuple[Path, ...]) -> None:
    """Copies the results of finished work folders to the committed ones, those of other settings to the trials.

    Raises:
      UsageError: at a run that no table shows, of an experiment that is not listed, on a user's own data or from
        another's weights, before any is copied.
      RunError: at a damaged result.
    """
    results, committed = [_result(workdir) for workdir in workdirs], tables.read_results(RESULTS)
    for workdir, result in zip(workdirs, results, strict=True):
        if load(result["experiment"]).target is None:
            name = result["experiment"]
            raise UsageError(f"{workdir} is a run of {name} on data of your own; the tables are of public data")
        _check_data(workdir, result, committed.get(result["experiment"], []))
        began = _began(result)
        if began != (wanted := [first.name for first in getattr(load(result["experiment"]), "begins", {}).values()]):
            raise UsageError(
                f"{workdir} began from {_weights(began)}; the tables of {result['experiment']} are of runs that begin "
                f"from {_weights(wanted)}"
            )
    for workdir, result in zip(workdirs, results, strict=True):
        target = RESULTS / f"{result['experiment']}-seed-{result['seed']}.json"
        if trials.is_trial(result):
            target = TRIALS / trials.file_name(result)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(workdir / "result.json", target)
        print(f"{workdir / 'result.json'} -> {target.relative_to(ROOT)}")
        module, _, variant = result["experiment"].partition("-")
        if module == plots.AGAINST_TIME and variant and target.parent == RESULTS:
            curve = RESULTS / plots.CURVES / f"{target.stem}.jsonl"
            curve.parent.mkdir(exist_ok=True)
            shutil.copyfile(workdir / "metrics.jsonl", curve)


def _result(workdir: Path) -> dict[str, Any]:
    """The result of a work folder, of an experiment that is listed here."""
    name = read_json(workdir / finished.RESULT, "a result").get("experiment", "")
    if str(name).partition("-")[0] not in NAMES:
        raise UsageError(
            f"{workdir} is a run of {str(name)[:80]!r}, which is no experiment here; add its file to experiments, and "
            "its name to experiments/__init__.py"
        )
    return finished.result(workdir)


def _check_data(workdir: Path, result: dict[str, Any], committed: tables.Results) -> None:
    """Raises UsageError where a run of an experiment's own settings was tested on other data than those in the tables.

    A path is no setting, so that a language model of one's own text would stand there as one of Shakespeare.
    """
    alike = [] if trials.is_trial(result) else [other for other in committed if not trials.is_trial(other)]
    for theirs in (other["data"] for other in alike):
        ours = result["data"]
        if ours["test"] != theirs["test"]:
            raise UsageError(
                f"{workdir} was tested on {ours['test']:,} examples of {ours['name']}; the tables of "
                f"{result['experiment']} are of {theirs['test']:,} of {theirs['name']}"
            )


def _began(result: dict[str, Any]) -> list[str]:
    """The experiments whose runs a run began from."""
    record = result.get("init_from")
    return [] if record is None else [one.get("experiment", "") for one in (record, *record.get("also", ()))]


def _weights(names: list[str]) -> str:
    return f"the weights of another run ({' and '.join(names)})" if names else "fresh parameters"


def main(
    workdirs: Annotated[tuple[Path, ...], tyro.conf.Positional] = (), check: bool = False, plot: bool = False
) -> int:
    """Make the tables of README.md, experiments/README.md and experiments/benchmarks/README.md from the result files.

    Also the file by which layers choose their implementation on an accelerator, rnnjax/layers/measured.json.

    Args:
      workdirs: Finished work folders whose result.json is to be added first: to experiments/results, or to its folder
        trials where the settings are not the experiment's own or the test split was left alone.
      check: Change nothing; fail if they are not those that the result files make.
      plot: Draw the pictures of the result files too, in experiments/results/plots.
    """
    if check and (workdirs or plot):
        print("error: --check changes nothing, so it takes no work folders, and no --plot", file=sys.stderr)
        return 2
    missing = [workdir for workdir in workdirs if not (workdir / "result.json").is_file()]
    if missing:
        print(f"error: {missing[0]} holds no finished run (no result.json)", file=sys.stderr)
        return 1
    try:
        collect(workdirs)
        for path in plots.draw(RESULTS, tables.read_results(), trials.read(TRIALS)) if plot else ():
            print(path.relative_to(ROOT))
        differing = _write(check)
        if not check:
            said = ", ".join(str(page.relative_to(ROOT)) for page in differing)
            print(f"made anew: {said}" if said else "nothing to make anew: the tables are those of the result files")
        return int(bool(differing) and check)
    except RnnjaxError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code


def _write(check: bool) -> list[Path]:
    """Writes the files that differ from what the result files make, or names them; returns them."""
    differing = []
    contents: list[tuple[Path, str, str]] = []
    for page, made in sections(tables.read_results(), trials.read(TRIALS)).items():
        old = page.read_text(encoding="utf-8")
        try:
            new = made_anew(old, made)
        except DataError as error:
            raise DataError(f"{page.relative_to(ROOT)}: {error}") from error
        contents.append((page, old, new))
    contents.append((measured.TABLE, measured.TABLE.read_text(encoding="utf-8"), measured.text()))
    for page, old, new in contents:
        if old == new:
            continue
        differing.append(page)
        if check:
            name = page.relative_to(ROOT)
            print(
                f"error: {name} is not what experiments/results make; run python -m experiments.report", file=sys.stderr
            )
        else:
            page.write_text(new, encoding="utf-8")
    return differing


if __name__ == "__main__":
    sys.exit(tyro.cli(main, prog="python -m experiments.report", config=(tyro.conf.FlagCreatePairsOff,)))
