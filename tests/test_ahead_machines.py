"""Machines that are not here: what a name means, what is wrong with one, and what their chips can do."""

import math

import pytest

from rnnjax.ahead import floors, machines, show
from rnnjax.errors import UsageError


@pytest.mark.parametrize(
    ("name", "shape", "chip"),
    [
        ("v5e:2x2", (2, 2), "TPU v5e"),
        ("v5p:2x2x2", (2, 2, 2), "TPU v5p"),
        ("V6E:16x16", (16, 16), "TPU v6e"),
        ("h200:8", (8,), "NVIDIA H200"),
        (" h100:8x8 ", (8, 8), "NVIDIA H100"),
    ],
)
def test_a_name_is_a_chip_and_how_many(name, shape, chip):
    machine = machines.machine(name)
    assert (machine.shape, machine.chip["name"], machine.count) == (shape, chip, math.prod(shape))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v9:2x2", "no chip 'v9'.*v5e:2x2, v5p:2x2x2.*h200:8x8"),
        ("h20:8", "did you mean h200"),
        ("", "no chip ''.*known machines"),
        ("v5e", "v5e needs its shape, 2 sides"),
        ("v5e:8", "2 sides"),
        ("v5p:2x2", "3 sides"),
        ("h200:", "hosts x GPUs of each"),
        ("h200:0", "hosts x GPUs"),
        ("h200:-1", "hosts x GPUs"),
        ("h200:2x2x2", "hosts x GPUs"),
        ("h200:8x", "hosts x GPUs"),
        ("h200:999999999", "hosts x GPUs"),
    ],
)
def test_another_name_is_an_error_that_lists_the_known_ones(name, said):
    with pytest.raises(UsageError, match=f"(?is)--for {name}.*{said}") as caught:
        machines.machine(name)
    assert machines.EXAMPLES in str(caught.value)


def test_the_data_file_gives_each_chip_a_source_and_what_is_computed_with():
    for name, chip in machines.chips().items():
        assert chip["source"] and chip["name"] and chip["memory"] > 1e10 and chip["bandwidth"] > 1e11, name
        assert chip["platform"] in ("tpu", "gpu") and ("grid" in chip) == (chip["platform"] == "tpu")
        assert floors.rate(chip, "bfloat16", "default") >= floors.rate(chip, "float32", "default")
        by_precision = [floors.rate(chip, "float32", precision) for precision in ("default", "high", "highest")]
        assert by_precision == sorted(by_precision, reverse=True)
        assert floors.rate(chip, "float64", "default") == by_precision[-1]
        if chip["platform"] == "gpu":
            assert chip["target"]["gpu_device_info"]["device_memory_size"] == chip["memory"]
            assert chip["target"]["gpu_device_info"]["memory_bandwidth"] == chip["bandwidth"]


def test_what_is_missing_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setattr(machines, "find_spec", lambda name: None)
    monkeypatch.setattr(machines, "_version", lambda package: None)
    with pytest.raises(UsageError, match=r"libtpu: pip install -e '\.\[aot-tpu\]'"):
        machines.machine("v5e:2x2").devices()
    with pytest.raises(UsageError, match=r"jax-cuda12-plugin.*nvidia-cuda-nvcc-cu12: pip install -e '\.\[aot-cuda\]'"):
        machines.machine("h200:8").devices()


def test_a_plug_in_of_another_version_is_named_with_the_right_one(monkeypatch):
    monkeypatch.setattr(machines, "_version", lambda package: "0.10.2" if package == "jaxlib" else "0.12.0")
    with pytest.raises(UsageError, match=r"0\.12\.0 and jaxlib 0\.10\.2.*pip install jax-cuda12-plugin==0\.10\.2"):
        machines.machine("h200:8").devices()


def test_a_shape_that_no_such_machine_has_is_an_error():
    if machines.obstacle("tpu"):
        pytest.skip(str(machines.obstacle("tpu")))
    with pytest.raises(UsageError, match="--for v5e:3x3: there is no machine of this shape"):
        machines.machine("v5e:3x3").devices()


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (show.size(0), "0 B"),
        (show.size(1023), "1023 B"),
        (show.size(1536), "1.5 KiB"),
        (show.size(5.25 * 2**30), "5.25 GiB"),
        (show.size(3000 * 2**30), "3000 GiB"),
        (show.count(8_662_220_804), "8.66 G"),
        (show.count(12), "12 "),
        (show.time(4.4e-5), "44 us"),
        (show.time(0.0123), "12.3 ms"),
        (show.time(2), "2 s"),
    ],
)
def test_numbers_are_shown_with_their_units(shown, words):
    assert shown == words
