"""Divergences: closed forms, directions, limits and bounds."""

import math

import pytest
import torch

from expunge.losses import activation_distance, js_divergence, kl_divergence


def logits(*probabilities: float) -> torch.Tensor:
    """One example whose class probabilities are these."""
    return torch.tensor([probabilities], dtype=torch.float64).log()


def random_logits(*shape: int, seed: int = 0, scale: float = 3.0) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# ---- Kullback-Leibler ---------------------------------------------------------------------------------------------------


def test_kl_has_its_closed_form_on_two_classes_and_points_from_teacher_to_student():
    teacher, student = logits(0.75, 0.25), logits(0.5, 0.5)
    from_teacher = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    from_student = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert from_teacher != pytest.approx(from_student)
    assert kl_divergence(student, teacher).item() == pytest.approx(from_teacher)
    assert kl_divergence(teacher, student).item() == pytest.approx(from_student)


def test_kl_is_zero_where_the_logits_differ_by_a_shift_and_only_there():
    teacher = random_logits(20, 5)
    shift = random_logits(20, 1, seed=1)
    assert kl_divergence(teacher + shift, teacher).abs().max() < 1e-12
    assert (kl_divergence(teacher + 0.01 * random_logits(20, 5, seed=2), teacher) > 0).all()
    assert (kl_divergence(random_logits(20, 5, seed=3), teacher) > 0.01).all()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 7.0])
def test_kl_at_a_temperature_is_that_of_the_divided_logits_times_its_square(temperature):
    student, teacher = random_logits(6, 4), random_logits(6, 4, seed=1)
    p, q = torch.softmax(teacher / temperature, -1), torch.softmax(student / temperature, -1)
    by_hand = temperature**2 * (p * (p / q).log()).sum(-1)
    torch.testing.assert_close(kl_divergence(student, teacher, temperature), by_hand)


def test_kl_of_a_hot_pair_tends_to_half_the_variance_of_the_logits_differences():
    """T^2 KL -> (1/2C) sum_c (d_c - mean d)^2 for T -> infinity: Hinton's limit, which keeps the gradients' scale."""
    student, teacher = random_logits(6, 4), random_logits(6, 4, seed=1)
    limit = (teacher - student).var(-1, correction=0) / 2
    torch.testing.assert_close(kl_divergence(student, teacher, 1e4), limit, rtol=1e-3, atol=0)
    assert not torch.allclose(kl_divergence(student, teacher), limit, rtol=0.05)


def test_kl_gives_one_value_for_each_example_averaged_over_the_places_between():
    student, teacher = random_logits(3, 5, 2, 4), random_logits(3, 5, 2, 4, seed=1)
    found = kl_divergence(student, teacher, 2.0)
    each = kl_divergence(student.reshape(30, 4), teacher.reshape(30, 4), 2.0)
    assert found.shape == (3,) and each.shape == (30,)
    torch.testing.assert_close(found, each.reshape(3, 10).mean(1))


def test_kl_stays_finite_and_right_where_probabilities_underflow():
    """A student that is certain of the wrong class: log q is -1e4, though q itself is 0 in floating point."""
    found = kl_divergence(torch.tensor([[0.0, 1e4]]), torch.tensor([[1e4, 0.0]]))
    assert found.item() == pytest.approx(1e4)


def test_kl_trains_the_student_towards_the_teacher_with_gradient_q_minus_p():
    student, teacher = random_logits(2, 3).requires_grad_(), random_logits(2, 3, seed=1).requires_grad_()
    kl_divergence(student, teacher.detach()).sum().backward()
    torch.testing.assert_close(student.grad, (torch.softmax(student, -1) - torch.softmax(teacher, -1)).detach())


# ---- Jensen-Shannon -----------------------------------------------------------------------------------------------------


def test_js_has_its_closed_form_in_units_of_log_2():
    certain, even = torch.tensor([[800.0, 0.0]], dtype=torch.float64), logits(0.5, 0.5)
    by_hand = (math.log(4 / 3) + 0.5 * math.log(2 / 3) + 0.5 * math.log(2)) / 2
    assert js_divergence(certain, even).item() == pytest.approx(by_hand / math.log(2))


def test_js_is_symmetric_and_lies_between_0_and_1():
    first, second = random_logits(500, 6, scale=20), random_logits(500, 6, seed=1, scale=20)
    found = js_divergence(first, second)
    assert found.shape == (500,)
    torch.testing.assert_close(found, js_divergence(second, first))
    assert found.min() >= 0 and found.max() <= 1
    assert found.min() < 0.2 and found.max() > 0.99, "the draw should reach towards both bounds"


def test_js_is_0_for_one_distribution_and_1_for_disjoint_ones():
    first = random_logits(10, 4)
    assert js_divergence(first, first + 3.0).max() < 1e-12
    apart = js_divergence(torch.tensor([[1e3, 0.0, 1e3, 0.0]]), torch.tensor([[0.0, 1e3, 0.0, 1e3]]))
    assert apart.item() == pytest.approx(1.0)


def test_js_of_float32_never_leaves_its_bounds_by_rounding():
    first = random_logits(2000, 10).float()
    found = js_divergence(first, first + 1e-4 * random_logits(2000, 10, seed=1).float())
    assert found.min() >= 0 and found.max() < 1e-6


# ---- activation distance ------------------------------------------------------------------------------------------------


def test_activation_distance_is_euclidean_between_probabilities():
    found = activation_distance(logits(0.7, 0.2, 0.1), logits(0.4, 0.2, 0.4))
    assert found.tolist() == pytest.approx([math.hypot(0.3, 0.0, 0.3)])


def test_activation_distance_is_a_distance():
    a, b, c = (random_logits(100, 5, seed=seed) for seed in range(3))
    torch.testing.assert_close(activation_distance(a, b), activation_distance(b, a))
    assert (activation_distance(a, c) <= activation_distance(a, b) + activation_distance(b, c) + 1e-12).all()
    assert activation_distance(a, a - 5.0).max() < 1e-12
    assert (activation_distance(a, b) > 0).all()


def test_activation_distance_is_at_most_the_root_of_two():
    apart = activation_distance(torch.tensor([[1e3, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1e3]]))
    assert apart.tolist() == pytest.approx([math.sqrt(2)])
    assert activation_distance(random_logits(500, 3, scale=50), random_logits(500, 3, seed=1, scale=50)).max() <= math.sqrt(2)
