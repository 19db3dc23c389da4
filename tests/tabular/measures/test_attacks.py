"""Attackers on synthetic tables: they find what was copied, and nothing where there is nothing."""

import numpy as np
import pandas as pd
import pytest

from expunge.errors import BadSetting
from expunge.tabular.measures.disclosure import disclosure
from expunge.tabular.measures.membership import membership_attack


def test_membership_by_hand(coded):
    real, holdout = pd.DataFrame({"x": np.arange(10.0)}), pd.DataFrame({"x": np.arange(10.0) + 0.5})
    synthetic = pd.DataFrame({"x": [*range(5), *[100.0] * 5]})
    # members are 0 (five) or 1 2 3 4 5 / 9 away, others 1/2 (five: 0.5 to 4.5) or 1.5 2.5 3.5 4.5 5.5 / 9
    found = membership_attack(*coded(real, synthetic, holdout)).auc
    members, others = [0] * 5 + [1, 2, 3, 4, 5], [0.5] * 5 + [1.5, 2.5, 3.5, 4.5, 5.5]
    assert found.value == pytest.approx(np.mean([[ours < theirs for theirs in others] for ours in members]))


@pytest.mark.parametrize("seed", range(4))
def test_members_of_copied_tables_are_known_and_of_new_ones_not(draw, coded, seed):
    real, fresh, holdout = (draw(300, 10 * seed + part) for part in range(3))
    copy, new = (
        membership_attack(*coded(real, each, holdout)).auc
        for each in (real.sample(frac=1, replace=True, random_state=seed), fresh)
    )
    assert copy.low > 0.7
    assert new.low < 0.5 + 0.02 and new.high > 0.5 - 0.02


def test_without_a_holdout_there_is_no_attack_and_the_report_says_why(draw, coded):
    found = membership_attack(*coded(draw(50, 0), draw(50, 1)), None)
    assert found.auc is None
    (figure,) = found.figures
    assert figure.value is None and "give real rows that the generator never saw" in figure.meaning


def test_a_table_of_secrets_tells_those_of_its_people(coded):
    """The secret is a coin: it can't be inferred, only remembered."""
    generator = np.random.default_rng(0)

    def world(n: int) -> pd.DataFrame:
        return pd.DataFrame({"x": generator.random(n), "y": generator.random(n), "secret": generator.choice(["u", "v"], n)})

    real, fresh, holdout = world(400), world(400), world(400)
    copy, new = (disclosure(*coded(real, each, holdout), "secret") for each in (real, fresh))
    assert copy.real[1] == 1.0
    assert copy.memorised(1) == pytest.approx(0.5, abs=0.1)
    assert abs(new.memorised(1)) < 0.1 and abs(new.memorised(5)) < 0.1
    assert new.guess == pytest.approx(0.5, abs=0.05)
    assert new.real[5] == pytest.approx(0.5, abs=0.1)


def test_what_can_be_inferred_is_not_held_against_the_table(draw, coded):
    found = disclosure(*coded(*(draw(500, seed) for seed in range(3))), "rich")
    assert found.real[5] > found.guess + 0.1
    assert abs(found.memorised(5)) < 0.08


def test_the_nearest_and_the_majority_by_hand(coded):
    real = pd.DataFrame({"x": np.arange(0.0, 100, 10), "c": list("aaaaabbbbb")})
    synthetic = pd.DataFrame({"x": [0.0, 1, 2, 3, 4, 90, 91, 92, 93, 94], "c": list("baaaabbbba")})
    found = disclosure(*coded(real, synthetic), None, "c")
    # nearest: 0 -> b (0 is nearest), 10 to 40 -> a (4), 50 to 80 -> b (90), 90 -> b: 9 right; of five always right
    assert found.real == {1: pytest.approx(0.9), 5: pytest.approx(1.0)}
    assert found.guess == 0.5
    assert found.holdout == {} and found.memorised(1) is None


def test_of_two_answers_as_frequent_the_nearer_one_is_given(coded):
    real = pd.DataFrame({"x": [0.0] * 9 + [1000.0], "c": list("bbbbbbbbba")})
    synthetic = pd.DataFrame({"x": [1.0, 2, 3, 4, 5, 900, 900, 900, 900, 900], "c": [*"baba", "c", *"ccccc"]})
    assert disclosure(*coded(real, synthetic), None, "c").real[5] == pytest.approx(0.9)


def test_numbers_are_right_within_a_twentieth_of_the_range(coded):
    real = pd.DataFrame({"c": list("abcdefghij") * 2, "pay": np.tile(np.arange(0.0, 100, 10), 2)})
    real.loc[19, "pay"] = 100.0
    near, far = real.assign(pay=real["pay"] + 4.9), real.assign(pay=real["pay"] - 5.1)
    assert disclosure(*coded(real, near), None, "pay").real[1] > 0.9
    assert disclosure(*coded(real, far), None, "pay").real[1] < 0.1


def test_unknown_secrets_are_passed_over(draw, coded):
    real, synthetic, holdout = (draw(200, seed) for seed in range(3))
    strange = pd.concat([synthetic, synthetic.assign(rich="perhaps"), synthetic.assign(rich=None)])
    assert disclosure(*coded(real, strange, holdout), "rich") == disclosure(*coded(real, synthetic, holdout), "rich")
    nobody = disclosure(*coded(real, synthetic.assign(rich=None), holdout), "rich")
    assert nobody.real == {1: 0.0, 5: 0.0}


def test_columns_that_can_not_be_attacked_are_refused(draw, coded):
    real, synthetic, holdout = coded(draw(60, 0), draw(60, 1), draw(60, 2).assign(rich=None))
    with pytest.raises(BadSetting, match="'weight' can't be disclosed: there are age, job, pay, town, height, rich"):
        disclosure(real, synthetic, None, "weight")
    with pytest.raises(BadSetting, match="no value of it is known in the real table or in the holdout"):
        disclosure(real, synthetic, holdout, "rich")
    one = coded(draw(60, 0)[["age"]])[0]
    with pytest.raises(BadSetting, match="it is the only one"):
        disclosure(one, one, None, "age")
