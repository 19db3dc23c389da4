"""Training on synthetic rows: equal tables teach equally, shuffled ones nothing, and lost classes are named."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadSetting
from expunge.tabular.measures.train_test import train_test


@pytest.mark.parametrize("target", ["rich", "job", "pay"])
def test_a_copy_teaches_as_well_as_the_real_table(draw, coded, target):
    real = draw(300, 0)
    found = train_test(*coded(real, real, draw(300, 1)), target)
    assert found.real == found.synthetic
    assert found.loss == (1.0 if target == "pay" else 0.0)
    assert found.by_holdout and found.classes == (target != "pay")


def test_another_sample_teaches_well_and_shuffled_columns_do_not(draw, coded, shuffled):
    real, fresh, holdout = (draw(600, seed) for seed in range(3))
    good, bad = (train_test(*coded(real, each, holdout), "rich") for each in (fresh, shuffled(real, 0)))
    assert good.real > 0.85 and abs(good.loss) < 0.05
    assert bad.synthetic < 0.6 < 0.85 < bad.real
    good, bad = (train_test(*coded(real, each, holdout), "pay") for each in (fresh, shuffled(real, 0)))
    assert good.real_r2 > 0.5 and good.loss == pytest.approx(1, abs=0.15)
    assert bad.synthetic_r2 < 0.1 and bad.loss > 1.3


def test_rmse_and_r2_belong_together(draw, coded):
    found = train_test(*coded(draw(300, 0), draw(300, 1), holdout := draw(200, 2)), "age")
    assert found.real_r2 == pytest.approx(1 - found.real**2 / holdout["age"].var(ddof=0))
    assert found.synthetic_r2 == pytest.approx(1 - found.synthetic**2 / holdout["age"].var(ddof=0))
    assert found.loss == found.synthetic / found.real


def test_without_a_holdout_a_quarter_of_the_real_rows_is_kept(draw, coded):
    found = train_test(*coded(draw(200, 0), draw(200, 1)), None, "rich")
    assert not found.by_holdout
    assert found.rows == (150, 50)
    assert "known to the generator" in found.figures[0].meaning


def test_a_lost_class_is_named_and_costs(draw, coded):
    real, holdout = draw(600, 0), draw(600, 1)
    synthetic = draw(600, 2)
    whole, part = (
        train_test(*coded(real, each, holdout), "job") for each in (synthetic, synthetic[synthetic["job"] != "cook"])
    )
    assert (whole.lost, part.lost) == ((), ("cook",))
    assert part.synthetic < whole.synthetic - 0.03
    assert "It lacks cook." in part.figures[0].meaning


def test_the_other_classes_are_suspected_as_before(coded):
    """Of three classes that one number tells, the first is lost: its area falls to 1/2, and those of the others stay 1."""
    real = pd.DataFrame({"x": np.tile([0.0, 1.0, 2.0], 60), "c": list("uvw") * 60})
    found = train_test(*coded(real, real[real["c"] != "u"], real), "c")
    assert found.real == 1.0
    # rows of u look like v to trees that know v and w, so that v is told from w alone: half of the others
    assert found.synthetic == pytest.approx((0.5 + 0.75 + 1.0) / 3)


def test_a_synthetic_table_of_one_class_teaches_nothing(draw, coded):
    found = train_test(*coded(draw(200, 0), draw(200, 1).assign(rich="no"), draw(200, 2)), "rich")
    assert found.synthetic == 0.5
    assert found.lost == ("yes",)


def test_rows_whose_target_is_a_gap_or_unknown_neither_teach_nor_test(draw, coded):
    real, synthetic, holdout = (draw(200, seed) for seed in range(3))
    strange = pd.concat([synthetic, synthetic.assign(rich="perhaps"), synthetic.assign(rich=None)])
    missing = pd.concat([holdout, holdout[:50].assign(rich=None)])
    assert train_test(*coded(real, strange, missing), "rich") == train_test(*coded(real, synthetic, holdout), "rich")


def test_unknown_values_of_other_columns_do_no_harm(draw, coded):
    real, synthetic, holdout = (draw(200, seed) for seed in range(3))
    found = train_test(*coded(real, synthetic.assign(town="abroad"), holdout.assign(town="elsewhere")), "rich")
    assert found.synthetic > 0.75


def test_a_constant_number_is_learned_perfectly(coded):
    generator = np.random.default_rng(0)
    table = pd.DataFrame({"x": generator.normal(size=40), "y": np.full(40, 2.0)})
    found = train_test(*coded(table, table, table), "y")
    assert (found.real, found.synthetic, found.real_r2, found.loss) == (0.0, 0.0, 1.0, 1.0)


def test_targets_that_can_not_be_predicted_are_refused(draw, coded):
    real, synthetic = coded(draw(60, 0), draw(60, 1))
    with pytest.raises(BadSetting, match="'weight' can't be predicted: there are age, pay, height, job, town, rich"):
        train_test(real, synthetic, None, "weight")
    one = coded(draw(60, 0)[["age"]])[0]
    with pytest.raises(BadSetting, match="it is the only one"):
        train_test(one, one, None, "age")
    empty = coded(draw(60, 0), draw(60, 1).assign(rich=None))[1]
    with pytest.raises(BadSetting, match="known in 0 rows of the synthetic table; expected at least 10"):
        train_test(real, empty, None, "rich")
