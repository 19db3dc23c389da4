"""Rounding of weights: closed forms, and what it refuses."""

import pytest
import torch

from expunge.errors import BadSetting
from expunge.language.rounding import rounded


def test_two_bits_leave_the_largest_of_each_row_its_opposite_and_nothing():
    weight = torch.tensor([[4.0, 1.9, -2.1, -4.0], [0.1, 0.06, 0.04, 0.0]])
    torch.testing.assert_close(rounded(weight, 2), torch.tensor([[4.0, 0.0, -4.0, -4.0], [0.1, 0.1, 0.0, 0.0]]))


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_no_entry_moves_by_more_than_half_a_step_to_one_of_so_many_values(bits):
    weight = 2 * torch.rand(5, 9_000, generator=torch.Generator().manual_seed(0)) - 1
    found = rounded(weight, bits)
    half = weight.abs().amax(1, keepdim=True) / (2**bits - 2)
    assert ((found - weight).abs() <= half * (1 + 1e-5)).all()
    assert [len(row.unique()) for row in found] == [2**bits - 1] * 5
    assert torch.equal(rounded(found, bits), found), "rounded once is rounded"
    assert torch.equal(rounded(-weight, bits), -found), "alike on both sides of 0"


def test_each_row_is_rounded_by_itself_and_one_of_zeros_stays():
    weight = torch.tensor([[1.0, 0.4], [100.0, 40.0], [0.0, 0.0]])
    found = rounded(weight, 4)
    torch.testing.assert_close(found[1], 100 * found[0])
    assert found[2].tolist() == [0, 0]


def test_shape_type_and_what_was_given_stay_as_they_are():
    weight = torch.randn(3, 4, dtype=torch.bfloat16, requires_grad=True)
    before = weight.clone()
    found = rounded(weight)
    assert found.shape == (3, 4) and found.dtype == torch.bfloat16 and not found.requires_grad
    assert torch.equal(weight, before)


def test_what_is_no_matrix_or_too_few_bits_is_refused():
    with pytest.raises(BadSetting, match=r"a matrix and 2 bits or more, not shape \(3,\) and 4"):
        rounded(torch.zeros(3))
    with pytest.raises(BadSetting, match=r"not shape \(2, 2\) and 1"):
        rounded(torch.zeros(2, 2), 1)
