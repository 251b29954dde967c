import numpy as np
import pandas as pd

from fatebias.files.tables import read_table


def test_a_table_is_read_back_as_it_was_written(tmp_path):
    written = pd.DataFrame(
        {
            "gene": ["NA", "007", "1e5"],
            "guide": ["None", "nan", ""],
            "betahat_d0": [0.1 + 0.2, 1e-320, -1 / 3],
            "se_d0": [1.0, np.nan, 2.0],
            "cells": [3, 0, -2],
            "hit_anyday": [True, False, True],
            "active_days": ["d0;d1", "", "d2"],
        }
    )
    written.to_csv(tmp_path / "table.csv", index=False)
    pd.testing.assert_frame_equal(
        read_table(tmp_path / "table.csv"), written, check_exact=True, check_dtype=False
    )
    assert [kind.kind for kind in read_table(tmp_path / "table.csv").dtypes[2:6]] == list("ffib")
