"""Small sequences in each layout that people have, which the tests of their readers share."""

import io
import wave
import zipfile
from pathlib import Path

import numpy as np

COUNT = 24
RNG = np.random.default_rng(0)
SERIES = [np.round(RNG.normal(size=(int(RNG.integers(4, 9)), 2)), 3) + 5 * (n % 2) for n in range(COUNT)]
"""``[T, 2]`` each; the class of sequence n is n % 2."""
NAMES = ("calm", "wild")
HEADER = "# made up\n@problemName made\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2"


def long_table(path: Path, *, label: bool = True, target=lambda n, t: NAMES[n % 2], time: bool = True) -> Path:
    """A row a step, in a random order."""
    rows = [
        [f"s{n}", str(t), *map(str, step), target(n, t)]
        for n, steps in enumerate(SERIES)
        for t, step in enumerate(steps)
    ]
    if time:
        rows = [rows[row] for row in np.random.default_rng(1).permutation(len(rows))]
        rows.sort(key=lambda row: int(row[0][1:]))
    header = ["id", "time", "x", "y", "label"]
    kept = [0, *([1] * time), 2, 3, *([4] * label)]
    path.write_text("\n".join(",".join(row[k] for k in kept) for row in [header, *rows]) + "\n")
    return path


def wide_table(path: Path) -> Path:
    """A row a sequence of one channel, cells empty after its end."""
    longest = max(map(len, SERIES))
    lines = [",".join(["label", *(f"t{t}" for t in range(longest))])]
    for n, steps in enumerate(SERIES):
        cells = [*map(str, steps[:, 0]), *[""] * (longest - len(steps))]
        lines.append(",".join([NAMES[n % 2], *cells]))
    path.write_text("\n".join(lines) + "\n")
    return path


def ts_file(path: Path, cases=range(COUNT), header: str = "") -> Path:
    """Ragged cases of two channels, a value of the first missing."""
    lines = [
        header or "# made up\n@problemName made\n@timeStamps false\n@missing true\n@univariate false\n@dimensions 2"
    ]
    lines += ["@equalLength false", "@classLabel true calm wild", "@data"]
    for n in cases:
        channels = [",".join(map(str, SERIES[n][:, c])) for c in (0, 1)]
        channels[0] = "?" + channels[0][channels[0].index(",") :] if n == 3 else channels[0]
        lines.append(":".join([*channels, NAMES[n % 2]]))
    path.write_text("\n".join(lines) + "\n")
    return path


def class_folders(root: Path, suffix: str) -> Path:
    """A sub-folder a class, a file a sequence."""
    for n, steps in enumerate(SERIES):
        folder = root / NAMES[n % 2]
        folder.mkdir(parents=True, exist_ok=True)
        one_file(folder / f"{n:02}{suffix}", steps)
    return root


def one_file(path: Path, steps: np.ndarray) -> None:
    """A sequence as a file of its own."""
    if path.suffix == ".npy":
        np.save(path, steps)
    elif path.suffix == ".wav":
        path.write_bytes(wav_bytes(steps[:, 0]))
    else:
        path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in steps))


def wav_bytes(values: np.ndarray, rate: int = 8000, channels: int = 1, width: int = 2, length: int = 400) -> bytes:
    """A recording whose pitch follows from the values."""
    samples = 3000 * np.sin(2 * np.pi * (300 + 100 * values.mean()) * np.arange(length + 80 * len(values)) / rate)
    raw = np.repeat(samples.astype(np.int32), channels)
    data = {1: (raw // 256 + 128).astype(np.uint8), 2: raw.astype("<i2"), 4: (raw << 16).astype("<i4")}.get(width)
    packed = (
        data.tobytes() if data is not None else (raw << 8).astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    )
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(packed)
    return out.getvalue()


def wav_zip(path: Path) -> Path:
    """Recordings of four speakers, their label, speaker and number in their names; as a Mac packs it."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("__MACOSX/recordings/._0_ann_0.wav", b"junk")
        for n, steps in enumerate(SERIES):
            file.writestr(
                f"recordings/{NAMES[n % 2]}_{('ann', 'bob', 'cy', 'di')[n // 6]}_{n}.wav", wav_bytes(steps[:, 0])
            )
    return path
