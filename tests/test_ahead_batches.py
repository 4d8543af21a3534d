"""The largest batch that fits is found within ten compilations."""

from hypothesis import given
from hypothesis import strategies as st

from rnnjax.ahead.batches import COMPILATIONS, Tried, best, converge

AVAILABLE = 10**9


def search(memory, first, most):
    """Of a memory that is a function of the batch size; None: the compiler says no more than that it is too much."""

    def tried(units):
        needed = memory(units)
        return Tried(units, needed, needed is not None and needed <= AVAILABLE)

    return converge(tried, first, most, AVAILABLE)


@given(
    fixed=st.integers(0, 2 * AVAILABLE),
    each=st.integers(0, AVAILABLE),
    most=st.integers(1, 10**5),
    data=st.data(),
)
def test_of_memory_that_grows_in_a_line_the_largest_is_found_to_a_few_percent(fixed, each, most, data):
    first = data.draw(st.integers(1, most))
    found = search(lambda units: fixed + each * units, first, most)
    right = min(most, (AVAILABLE - fixed) // each) if each else most
    right = right if fixed <= AVAILABLE and right > 0 else None
    sizes = [tried.batch_size for tried in found]
    assert len(found) <= COMPILATIONS and len(set(sizes)) == len(sizes)
    assert all(1 <= size <= most for size in sizes) and sizes[0] == first
    if right is None:
        assert best(found) is None
    elif (least := best(found)) is not None:
        assert least <= right
        assert least >= 0.97 * right - 1 or len(found) == COMPILATIONS


def test_the_usual_case_is_right_to_3_percent():
    """As much as fits lies a hundred times above the first."""
    found = search(lambda units: 10**8 + 61_234 * units, 128, 50_000)
    assert 0.97 * 14_697 <= (best(found) or 0) <= 14_697


def test_it_does_without_the_compilers_figure():
    found = search(lambda units: None if units > 700 else 10**8 + 10**5 * units, 64, 100_000)
    assert 600 <= (best(found) or 0) <= 700


def test_the_whole_training_split_is_the_end():
    found = search(lambda units: units, 10, 1000)
    assert best(found) == 1000
