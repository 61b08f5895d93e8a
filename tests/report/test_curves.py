import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pipeline.report.curves import COLUMNS, parse_curves
from pipeline.runtime.errors import PipelineError

HEADER = ",".join(COLUMNS)
GOOD = f"{HEADER}\n1,0.5,0.8,0.6,0.7\n2,0.25,0.9,0.5,0.75\n"
finite = st.floats(width=32, allow_nan=False, allow_infinity=False)


@given(arrays(np.float32, st.tuples(st.integers(1, 30), st.just(4)), elements=finite))
def test_every_value_comes_back(measured: NDArray[np.float32]) -> None:
    table = pd.DataFrame(measured.astype(float), columns=COLUMNS[1:])
    table.insert(0, "epoch", np.arange(1, len(table) + 1))
    found = parse_curves(table.to_csv(index=False).encode(), "curves")
    pd.testing.assert_frame_equal(found, table.astype(float), check_exact=False, rtol=1e-15)
    np.testing.assert_array_equal(found[COLUMNS[1:]].astype(np.float32), measured)


@pytest.mark.parametrize(
    "content",
    [
        "",
        f"{HEADER}\n",
        "epoch,loss\n1,2\n",
        GOOD.replace("loss,accuracy", "accuracy,loss", 1),
        GOOD.replace("val_accuracy", "val_accuracy,more"),
        GOOD + "3,1,1,1,1,7\n",
        "<<<<<<< HEAD\n" + GOOD,
    ],
)
def test_what_is_no_table_of_curves_is_refused_in_one_line_that_names_it(content: str) -> None:
    with pytest.raises(PipelineError, match=r"^main: curves\.csv: .*$"):
        parse_curves(content.encode(), "main: curves.csv")
