"""The benchmark of input: images that are made up, both ways to decode them, waiting, memory, and its tables."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from experiments.benchmarks import __main__ as command
from experiments.benchmarks import harness, input_files, input_runs, input_show, input_streams, markdown, record
from experiments.benchmarks import input as part
from tests.test_benchmarks import CIRCUMSTANCES

OURS, TORCH, DRAFT = input_show.OURS, input_show.TORCH, input_show.DRAFT


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return input_files.make(tmp_path_factory.mktemp("made"), 16, 40, 50)


@pytest.fixture
def pretended(monkeypatch):
    """Peers of 0.5 and 1 s an epoch on a clock that they move, trainings and children that do nothing."""
    now = [0.0]

    def takes(seconds):
        def call(row):
            now[0] += seconds
            return row["images"]

        return lambda row, *_: lambda: lambda: call(row)

    measure = harness.measure
    monkeypatch.setattr(part, "_ours", takes(0.5))
    monkeypatch.setattr(part, "_torch", takes(1.0))
    monkeypatch.setattr(
        harness, "measure", lambda *of, **how: measure(*of, **how, clock=lambda: now[0], sleep=lambda _: None)
    )
    monkeypatch.setattr(input_runs, "measure", lambda name, epochs: waited(name))
    monkeypatch.setattr(input_streams, "in_a_child", lambda *asked: grown(*asked[1:]))
    monkeypatch.setattr(record, "start", lambda devices: 0.25)  # this process has its devices


def waited(name, share=0.004, error=None):
    row = {"experiment": name, "epochs": 2, "steps": 10, "examples_per_second": 1234.5, "by_epoch": [share, share]}
    return row | {"input_wait": share, "error": error}


def grown(size, batch, workers, images, end=101.5):
    row = input_streams._row(size, batch, workers, images)
    return row | {"streamed": images, "start_mib": 100.0, "end_mib": end, "growth_mib": end - 100}


def run(tmp_path, *more, code=0):
    path = tmp_path / "input-cpu.json"
    assert command.main(["input", "--quick", *more, "--out", str(path)]) == code
    return json.loads(path.read_text(encoding="utf-8"))


# The command


def test_all_is_measured_shown_and_written(pretended, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(record, "cores", lambda: 4)
    result = run(tmp_path)
    assert [(row["sides"], row["peer"], row["workers"]) for row in result["rows"]] == [
        ("50 x 40", peer, workers) for workers in (1, 4) for peer in (OURS, TORCH, DRAFT)
    ]
    assert all(row["samples"] == [0.5 if row["peer"] == OURS else 1.0] * 2 for row in result["rows"])
    assert [goal["reached"] for goal in result["goals"]] == [True, None, True, None, True, False]
    (of,) = result["images"]
    assert of["crops"] == of["images"] == 16 and of["sides"] == "50 x 40" and result["partial"] is False
    assert "× torch" in capsys.readouterr().out
    section = markdown.section(tmp_path, tmp_path / "README.md")
    for line in (
        "| 50 x 40 | rnnjax | 4 | 32 (32-32) | 2.00 | 2 |  |",
        "| streamed images of 50 x 40, 4 workers: examples/s, rnnjax / torch | ≥ 1.2 | 2.000 | 1 | reached |",
        "| digits_rows | 0.40% | 0.40%, 0.40% | 1,234 |",
        "| digits_rows: share of the time that steps wait for data | ≤ 0.02 | 0.004 | 1 | reached |",
        "| 64 | 100.0 | 101.5 | 1.5 | 0 |",
        "16 made up images of ",
    ):
        assert line in section, f"{line}\nis not in\n{section}"


def test_images_of_several_sides_are_timed_apart(pretended, tmp_path, monkeypatch):
    """And memory with those of the first."""
    measured = []
    monkeypatch.setattr(input_streams, "in_a_child", lambda place, *asked: measured.append(place) or grown(*asked))
    monkeypatch.setattr(part, "QUICK", part.QUICK | {"sides": ("50,40", "90,60")})
    monkeypatch.setattr(record, "cores", lambda: 1)
    result = run(tmp_path)
    assert [row["sides"] for row in result["rows"]] == ["50 x 40"] * 3 + ["90 x 60"] * 3
    widths = [of["width"] for of in result["images"]]
    assert 42 <= widths[0] <= 58 and 76 <= widths[1] <= 104
    asked = [goal["what"] for goal in result["goals"] if goal["what"].endswith("/ torch")]
    assert [what.partition(",")[0] for what in asked] == ["streamed images of 50 x 40", "streamed images of 90 x 60"]
    assert [place.parent.name for place in measured] == ["0"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "100"], "--images must be a multiple of 64, which are two batches, got 100"),
        (["--memory-images", "100"], "--memory-images must be a multiple of 64"),
        (["--size", "0"], "must be positive"),
        (["--epochs", "0"], "must be positive"),
        (["--sides", "500x400"], "--sides: WIDTH,HEIGHT in pixels, 16 at least, such as 500,400; got '500x400'"),
        (["--sides", "500,4"], "got '500,4'"),
        (["--sides"], "--sides must name at least one width and height"),
    ],
)
def test_wrong_options_are_usage_errors(options, message, capsys, pretended):
    assert command.main(["input", *options]) == 2
    assert message in capsys.readouterr().err


def test_a_whole_run_of_the_defaults_alone_is_for_the_committed_file(tmp_path, monkeypatch, pretended):
    monkeypatch.setattr(record, "COMMITTED", tmp_path / "committed")
    monkeypatch.setattr(record, "UNCOMMITTED", tmp_path / "others")
    monkeypatch.setattr(part, "_measure", lambda *_: None)
    assert part.main([]) == 0
    (path,) = tmp_path.rglob("*.json")
    assert path.parent == tmp_path / "committed" and path.name.startswith("input")
    assert part.main(["--samples", "3"]) == 0
    assert [path.parent.name for path in tmp_path.rglob("*.json")].count("others") == 1


def test_an_interruption_writes_what_was_measured(pretended, tmp_path, monkeypatch):
    def interrupted(entries, **_):
        entries[0].samples.append(0.5)
        raise KeyboardInterrupt

    monkeypatch.setattr(harness, "measure", interrupted)
    result = run(tmp_path, code=130)
    assert result["partial"] is True and result["rows"][0]["samples"] == [0.5] and result["memory"] is None
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "Stopped before its end." in section and "| 50 x 40 | rnnjax | 1 | 32 (32-32) |  | 1 |  |" in section


@pytest.mark.slow
def test_quick_from_end_to_end(tmp_path):
    done = input_runs.subprocess.run(
        [sys.executable, "-m", "experiments.benchmarks", "input", "--quick", "--out", str(tmp_path / "input-cpu.json")],
        capture_output=True, text=True, timeout=500, cwd=record.COMMITTED.parents[2],
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "input-cpu.json").read_text(encoding="utf-8"))
    assert [row["error"] for row in (*result["waits"], result["memory"])] == [None] * 2
    assert 0 < result["waits"][0]["input_wait"] < 1 and result["memory"]["streamed"] == 64
    assert all((row["error"] or "not installed (torch)") == "not installed (torch)" for row in result["rows"])


# Images


def content(file):
    return part.Path(file).read_bytes()


def test_images_are_made_of_a_seed_and_of_several_sizes(made, tmp_path):
    again = input_files.make(tmp_path / "again", 16, 40, 50)
    assert list(map(content, made.files)) == list(map(content, again.files))
    images = [Image.open(io.BytesIO(content(file))) for file in made.files]
    assert len({image.size for image in images}) > 8 and {image.format for image in images} == {"JPEG"}
    assert min(np.asarray(image).std() for image in images) > 5, "none is of one color"
    assert made.facts["images"] == 16 and 34 <= made.facts["height"] <= 46 and 42 <= made.facts["width"] <= 58


def test_the_prepared_set_holds_the_same_files(made):
    split = input_streams.examples(made.data_dir, 16)
    assert split["inputs"].shape == (16, 16, 16, 3)
    np.testing.assert_array_equal(split["labels"], np.arange(16) % input_files.CLASSES)
    for number, stored in enumerate(split["inputs"].fetch(list(range(16)))):
        assert stored == content(made.files[number])


def test_an_epoch_feeds_every_image_once(made):
    epoch = input_streams.stream(input_streams.examples(made.data_dir, 16), 4, 2)
    assert [epoch(), epoch()] == [16, 16]


def test_both_ways_to_decode_give_the_same_pixels(made):
    """At 32 pixels no image of 40 x 50 is decoded small, at 8 many are."""
    split = input_streams.examples(made.data_dir, 32)
    crops = [input_streams.training_crop(split, row) for row in range(16)]
    assert not any(small for *_, small in crops) and len({flip for _, _, flip, _ in crops}) == 2
    np.testing.assert_array_equal(crops[3][0], split["inputs"].crops(np.array([3]), (0, 0))[0])
    assert part.apart(made.files, 32, crops) <= part.FARTHEST
    wrong = [(255 - pixels, *rest) for pixels, *rest in crops]
    assert part.apart(made.files, 32, wrong) > 50
    split = input_streams.examples(made.data_dir, 8)
    drafted = [small for *_, small in (input_streams.training_crop(split, row) for row in range(16))]
    assert 0 < sum(drafted)


def test_a_draft_is_smaller_and_shows_the_same(made):
    from experiments.benchmarks import input_torch

    shown = []
    for draft in (False, True):
        image = Image.open(io.BytesIO(content(made.files[0])))
        shown.append(input_torch.cropped(image, (0, 0, *image.size), 8, flip=False, draft=draft).astype(int))
    assert 0 < np.abs(shown[0] - shown[1]).mean() < 10


def test_pytorch_decodes_and_crops_at_random(made):
    torch = pytest.importorskip("torch", reason="torch (extra bench) is not installed")
    from experiments.benchmarks import input_torch

    torch.manual_seed(0)
    boxes = np.array([input_torch.sampled(500, 400, 0.08) for _ in range(300)])
    left, top, width, height = boxes.T
    assert (left >= 0).all() and (left + width <= 500).all() and (top >= 0).all() and (top + height <= 400).all()
    share = width * height / 200_000
    assert 0.07 < share.min() < 0.12 and 0.9 < share.max() <= 1
    assert input_torch.sampled(900, 3, 0.9)[2:] == (4, 3), "of a very long image hardly any such part exists"
    data = input_torch.Crops(made.files, 16, 0.08, draft=False)
    assert len(data) == 16 and data[0].shape == (16, 16, 3) and data[0].dtype == torch.uint8
    assert (data[0] != data[0]).any()


@pytest.mark.slow
def test_pytorch_loads_every_image_in_processes(made):
    pytest.importorskip("torch", reason="torch (extra bench) is not installed")
    from experiments.benchmarks import input_torch

    stream = input_torch.stream(input_torch.Crops(made.files, 16, 0.08, draft=True), 4, 1)
    assert [stream(), stream()] == [16, 16]


@pytest.mark.parametrize("peer", [TORCH, DRAFT])
def test_what_decodes_other_pixels_is_not_timed(made, peer, monkeypatch):
    monkeypatch.setattr(part, "apart", lambda *_: 3.0)
    row = {"sides": "50 x 40", "peer": peer, "workers": 1, "images": 16, "apart": None}
    entry = harness.Entry(row, part._torch(row, part.Options(), made.files, []))
    harness.measure([entry], samples=1, seconds=1)
    assert entry.error == "failed: ValueError: it decodes other pixels than rnnjax: 3 of 255 apart"
    assert entry.samples == [] and row["apart"] == 3.0


# Waiting and memory


def test_a_run_says_how_long_its_steps_waited(monkeypatch):
    def trains(command, **_):
        run = part.Path(command[command.index("--runs-dir") + 1]) / "mnist_rows" / "seed-0"
        run.mkdir(parents=True)
        result = {"steps": 4, "examples_per_second": 2.5, "input_wait": 0.25, "seed": 0}
        (run / "result.json").write_text(json.dumps(result))
        (run / "metrics.jsonl").write_text('{"input_wait": 0.5}\n{"epoch": 2}\n')
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(input_runs.subprocess, "run", trains)
    row = input_runs.measure("mnist_rows", 2)
    assert row["input_wait"] == 0.25 and row["by_epoch"] == [0.5, None] and row["error"] is None
    (goal,) = input_runs.evaluate([row])
    assert goal["reached"] is False


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("a warning\nerror: the data set mnist is not prepared in /nowhere; prepare it once, by\n  python -m ...\n",
         "failed: the data set mnist is not prepared in /nowhere; prepare it once, by"),
        ("Traceback\nOSError: it\n", "failed: OSError: it"),
        ("", "failed: exit code 1"),
    ],
)  # fmt: skip
def test_a_run_without_data_is_marked_so(monkeypatch, said, error):
    monkeypatch.setattr(input_runs.subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=said))
    row = input_runs.measure("mnist_rows", 1)
    assert row["error"] == error and row["input_wait"] is None
    assert input_runs.evaluate([row])[0]["reached"] is None
    _, _, lines = input_show.waits([row])
    assert lines == [["mnist_rows", error, "", ""]]


def test_memory_is_measured_before_and_after_an_epoch(made):
    row = input_streams.measure(made.data_dir, 16, 4, 2, 64)
    assert row["error"] is None and row["streamed"] == 64 and row["start_mib"] > 50
    assert row["growth_mib"] == row["end_mib"] - row["start_mib"]
    assert row["bound_mib"] == 3 * 2 * 4 * 16 * 16 * 3 / 2**20


def test_a_split_that_cannot_be_streamed_and_a_child_that_is_killed_are_marked_so(tmp_path, monkeypatch):
    assert input_streams.measure(tmp_path, 16, 4, 2, 64)["error"].startswith(
        "failed: MissingDataError: TFDS has no data set"
    )
    done = SimpleNamespace(returncode=-9, stdout="", stderr="")
    monkeypatch.setattr(input_streams.subprocess, "run", lambda command, **_: done)
    row = input_streams.in_a_child(tmp_path, 16, 4, 2, 64)
    assert row["error"] == "failed: exit code -9" and input_streams.evaluate(row)[0]["reached"] is None


def test_growth_beyond_what_the_feed_holds_misses_the_goal():
    assert input_streams.evaluate(None) == []
    for end, reached in ((127.5, True), (128.0, False)):
        (goal,) = input_streams.evaluate(grown(224, 32, 2, 4096, end))
        assert goal["reached"] is reached and goal["goal"] == 27.5625


# The page


def test_the_section_copes_with_what_was_not_measured(tmp_path):
    assert markdown.section(tmp_path, tmp_path / "README.md") == markdown.NOTHING
    nothing = {"images": [], "rows": [], "waits": [], "memory": None}
    record.write({"part": "input", **CIRCUMSTANCES, "how": "So.", "goals": [], **nothing}, tmp_path / "input-cpu.json")
    assert markdown.section(tmp_path, tmp_path / "README.md").endswith("\n\nSo.")
    row = {"sides": "50 x 40", "peer": TORCH, "workers": 1, "images": 16, "apart": None, "samples": []}
    row["error"] = "not installed (torch)"
    facts = {"images": 16, "height": 40.0, "width": 50.0, "kib": 2.0, "jpeg": "baseline", "crops": 16, "small": 2}
    found = nothing | {"rows": [row], "images": [facts], "size": 16, "batch": 4}
    record.write({"part": "input", **CIRCUMSTANCES, "how": "So.", "goals": [], **found}, tmp_path / "input-cpu.json")
    section = markdown.section(tmp_path, tmp_path / "README.md")
    assert "| 50 x 40 | torch | 1 | not installed (torch) |  | 0 |  |" in section
    assert "Not measured: 50 x 40, torch, 1: not installed (torch)." in section
