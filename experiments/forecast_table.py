"""Your own series: a GRU forecasts columns of a table, such as sales a day or measurements an hour.

    python -m experiments.forecast_table --data.path series.csv --data.look-back 96 --data.horizon 24
    python -m experiments.forecast_table predict series.csv

It is ``python -m rnnjax forecast series.csv`` of an installed package, and defined in :mod:`rnnjax.own`.

A row of the table is a step of time, a column the times, and the other columns of numbers are forecast, or those of
--data.columns. `predict` answers with the rows that come after the last one of a file.

The published protocol of ETTh1 (Zhou et al. 2021) is first 12 x 30 x 24 hours to train, the next 4 x 30 x 24 for
validation, the next 4 x 30 x 24 to test:

    python -m experiments.forecast_table --data.path ETTh1.csv --data.split 8640,2880,2880 --data.horizon 96
"""

import sys

from rnnjax import main
from rnnjax.own import FORECASTS as EXPERIMENT

if __name__ == "__main__":
    sys.exit(main(EXPERIMENT))
