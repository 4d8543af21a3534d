"""Whether a cell or a task of one's own keeps the promises that everything else here builds upon.

    from rnnjax.testing import check_cell, check_task

    def test_my_cell():
        check_cell(MyCell(8))

Both raise AssertionError with a sentence: which promise is broken, for what input, and by how much. Nothing here needs
pytest, and ``import rnnjax`` does not import it.

``with interpreted():`` runs ``RNN(implementation="pallas")``, which is for a TPU, where there is none, and slowly.
"""

from rnnjax.layers.pallas import interpreted
from rnnjax.testing.cell import check_cell
from rnnjax.testing.task import check_task

__all__ = ["check_cell", "check_task", "interpreted"]
