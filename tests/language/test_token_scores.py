"""Scores of teacher-forced tokens: closed forms, loops that follow the definitions, limits, padding and types."""

import math
import zlib
from functools import partial

import pytest
import torch

from expunge.errors import BadSetting
from expunge.language.token_scores import (
    MASKED,
    exact_memorization,
    extraction_strength,
    mean_loss,
    min_k,
    min_k_plus_plus,
    probability,
    token_log_probabilities,
    zlib_score,
)

SCORES = (mean_loss, probability, exact_memorization, extraction_strength, min_k, min_k_plus_plus)
EACH_SCORE = pytest.mark.parametrize("score", SCORES, ids=lambda score: score.__name__)


def says(*tokens: int, vocabulary: int = 5, height: float = 40.0) -> torch.Tensor:
    """Logits of a model that is sure of these tokens, shape (1, T, V)."""
    return height * torch.nn.functional.one_hot(torch.tensor([tokens]), vocabulary).double()


def random_answers(n: int = 40, length: int = 9, vocabulary: int = 4, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and labels with masked places anywhere, also inside answers; the first example has no answer."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, length, vocabulary, generator=generator, dtype=torch.float64)
    labels = torch.randint(vocabulary, (n, length), generator=generator)
    labels = torch.where(torch.rand(n, length, generator=generator) < 0.6, logits.argmax(-1), labels)
    labels = labels.masked_fill(torch.rand(n, length, generator=generator) < 0.3, MASKED)
    labels[0] = MASKED
    return logits, labels


def by_loop(logits, labels, score):
    """One number for each example, from lists of (probabilities of all tokens, label) of its answer's places."""
    answers = [
        [(row.softmax(-1).tolist(), label) for row, label in zip(rows, some.tolist(), strict=True) if label != MASKED]
        for rows, some in zip(logits, labels, strict=True)
    ]
    return torch.tensor([score(answer) if answer else math.nan for answer in answers], dtype=torch.float64)


def same(found, wanted, **tolerance):
    torch.testing.assert_close(found, wanted, equal_nan=True, **tolerance)


# ---- log-probabilities ---------------------------------------------------------------------------------------------------


def test_log_probabilities_are_of_the_labels_and_0_where_there_is_none():
    logits = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8], [0.6, 0.2, 0.2]], dtype=torch.float64).log()[None] + 7.0
    found = token_log_probabilities(logits, torch.tensor([[MASKED, 2, 1]]))
    same(found, torch.tensor([[0.0, math.log(0.8), math.log(0.2)]], dtype=torch.float64))


def test_log_probabilities_agree_with_a_loop():
    logits, labels = random_answers()
    found = token_log_probabilities(logits, labels)
    for row in range(len(labels)):
        for place, label in enumerate(labels[row].tolist()):
            wanted = 0.0 if label == MASKED else logits[row, place].softmax(-1)[label].log().item()
            assert found[row, place].item() == pytest.approx(wanted, abs=1e-12)


def test_log_probabilities_of_large_logits_are_not_lost_to_rounding():
    """log softmax is about -1e-4 beside logits of 1e4, where float32 steps are 1e-3: subtracting the logsumexp would give 0."""
    logits = torch.tensor([[[1e4, 1e4 - 9.0]]])
    found = token_log_probabilities(logits, torch.tensor([[0]]))
    assert found.item() == pytest.approx(-math.log1p(math.exp(-9)), rel=1e-3)


def test_gradients_reach_answer_tokens_alone_even_beside_what_is_not_a_number():
    logits, labels = random_answers(3)
    logits[labels == MASKED] = math.nan
    logits.requires_grad_()
    token_log_probabilities(logits, labels).sum().backward()
    answer = labels != MASKED
    assert (logits.grad[~answer] == 0).all()
    wanted = torch.nn.functional.one_hot(labels[answer], 4) - logits[answer].softmax(-1)
    same(logits.grad[answer], wanted.detach())


# ---- losses and probabilities --------------------------------------------------------------------------------------------


def test_loss_and_probability_are_means_over_the_answer_alone():
    logits = torch.tensor([[0.5, 0.5], [0.9, 0.1], [0.25, 0.75]], dtype=torch.float64).log()[None]
    labels = torch.tensor([[0, 1, MASKED]])
    assert mean_loss(logits, labels).item() == pytest.approx(-(math.log(0.5) + math.log(0.1)) / 2)
    assert probability(logits, labels).item() == pytest.approx(math.sqrt(0.05))


def test_loss_and_probability_agree_with_a_loop():
    logits, labels = random_answers()
    loss = by_loop(logits, labels, lambda answer: -sum(math.log(p[label]) for p, label in answer) / len(answer))
    same(mean_loss(logits, labels), loss)
    same(probability(logits, labels), (-loss).exp())


def test_loss_is_that_of_pytorch_over_each_example():
    logits, labels = random_answers()
    wanted = [torch.nn.functional.cross_entropy(*each) for each in zip(logits, labels, strict=True)]
    same(mean_loss(logits, labels), torch.stack(wanted))


# ---- greedy guesses ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "labels", "strength", "memorized"),
    [
        ((1, 2, 3, 4), (1, 2, 3, 4), 1.0, 1.0),
        ((0, 2, 3, 4), (1, 2, 3, 4), 0.75, 0.75),
        ((1, 0, 3, 4), (1, 2, 3, 4), 0.5, 0.75),
        ((1, 2, 3, 0), (1, 2, 3, 4), 0.0, 0.75),
        ((0, 0, 0, 0), (1, 2, 3, 4), 0.0, 0.0),
        ((0, 2, 0, 4), (1, 2, 3, 4), 0.25, 0.5),
        ((3,), (3,), 1.0, 1.0),
        ((0,), (3,), 0.0, 0.0),
        ((0, 0, 0, 3), (MASKED, MASKED, MASKED, 3), 1.0, 1.0),
        ((0, 3, 0, 0), (MASKED, 3, MASKED, MASKED), 1.0, 1.0),
        ((0, 3, 0, 0), (MASKED, 2, MASKED, MASKED), 0.0, 0.0),
        ((0, 0, 2, 3, 0), (MASKED, 1, 2, 3, MASKED), 2 / 3, 2 / 3),
        ((1, 0, 2), (1, MASKED, 2), 1.0, 1.0),
    ],
)
def test_guesses_by_hand(said, labels, strength, memorized):
    labels = torch.tensor([labels])
    assert extraction_strength(says(*said), labels).item() == pytest.approx(strength)
    assert exact_memorization(says(*said), labels).item() == pytest.approx(memorized)


def test_guesses_agree_with_a_loop():
    def strength(answer):
        right = [max(p) == p[label] for p, label in answer]
        return 1 - min(k for k in range(len(right) + 1) if all(right[k:])) / len(right)

    logits, labels = random_answers(200)
    found = extraction_strength(logits, labels).double()
    same(found, by_loop(logits, labels, strength), atol=1e-6, rtol=0)
    assert set(found[1:].tolist()) > {0.0, 0.5, 1.0}, "the draw should reach both ends and what is between"
    shares = by_loop(logits, labels, lambda answer: sum(max(p) == p[label] for p, label in answer) / len(answer))
    same(exact_memorization(logits, labels).double(), shares, atol=1e-6, rtol=0)


def test_extraction_strength_is_at_most_exact_memorization_and_does_not_care_how_sure_the_model_is():
    logits, labels = (each[1:] for each in random_answers(200))
    strength = extraction_strength(logits, labels)
    assert (strength <= exact_memorization(logits, labels)).all()
    same(strength, extraction_strength(0.01 * logits - 3.0, labels))
    assert not torch.equal(strength, extraction_strength(-logits, labels))


# ---- lowest shares -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "kept"), [(0.1, 1), (0.4, 2), (0.59, 2), (0.6, 3), (0.99, 4), (1.0, 5)])
def test_min_k_takes_the_lowest_rounded_down_but_at_least_one(share, kept):
    chances = [0.9, 0.2, 0.5, 0.1, 0.7]
    logits = torch.tensor([[[p, 1 - p] for p in chances]], dtype=torch.float64).log()
    wanted = sum(sorted(math.log(p) for p in chances)[:kept]) / kept
    assert min_k(logits, torch.zeros(1, 5, dtype=torch.long), share).item() == pytest.approx(wanted)


def test_min_k_counts_tokens_as_one_would_on_paper():
    """0.57 of 100 tokens are 57, though 0.57 * 100 is a little less in floating point."""
    logits, labels = random_answers(2, 100)
    labels[1] = 0
    values = token_log_probabilities(logits, labels)[1].sort().values
    assert math.floor(0.57 * 100) == 56
    assert min_k(logits, labels, 0.57)[1].item() == pytest.approx(values[:57].mean().item())


@pytest.mark.parametrize("share", [0.2, 0.4, 0.75, 1.0])
def test_min_k_and_min_k_plus_plus_agree_with_loops(share):
    def lowest(values):
        kept = max(1, math.floor(share * len(values) + 1e-9))
        return sum(sorted(values)[:kept]) / kept

    def standard(p, label):
        mean = sum(each * math.log(each) for each in p)
        square = sum(each * math.log(each) ** 2 for each in p)
        return (math.log(p[label]) - mean) / math.sqrt(square - mean**2)

    logits, labels = random_answers()
    plain = by_loop(logits, labels, lambda answer: lowest([math.log(p[label]) for p, label in answer]))
    same(min_k(logits, labels, share), plain)
    standardised = by_loop(logits, labels, lambda answer: lowest([standard(*each) for each in answer]))
    same(min_k_plus_plus(logits, labels, share), standardised)


def test_min_k_of_all_is_minus_the_loss_and_falls_with_the_share():
    logits, labels = random_answers()
    same(min_k(logits, labels, 1.0), -mean_loss(logits, labels))
    few, some = (min_k(logits, labels, share)[1:] for share in (0.2, 0.7))
    assert (few <= some).all() and (few < some).any()


def test_min_k_plus_plus_of_two_tokens_has_its_closed_form():
    """With chances p and 1 - p, the standardised value of the first is sqrt((1 - p) / p), of the sign of p - 1/2."""
    for p in (0.1, 0.3, 0.8, 0.99):
        logits = torch.tensor([[[p, 1 - p]]], dtype=torch.float64).log()
        wanted = math.copysign(math.sqrt((1 - p) / p), p - 0.5)
        assert min_k_plus_plus(logits, torch.tensor([[0]])).item() == pytest.approx(wanted)


def test_min_k_plus_plus_has_mean_0_and_variance_1_over_the_models_own_tokens():
    row = random_answers()[0][3, 0]
    p = row.softmax(-1)
    values = torch.stack([min_k_plus_plus(row[None, None], torch.tensor([[token]]))[0] for token in range(4)])
    assert (p * values).sum().item() == pytest.approx(0, abs=1e-9)
    assert (p * values.square()).sum().item() == pytest.approx(1)


def test_min_k_plus_plus_with_tokens_that_are_ruled_out_is_that_without_them():
    logits, labels = (each[1:] for each in random_answers())
    wider = torch.cat([logits, torch.full_like(logits[..., :2], -math.inf)], -1)
    found = min_k_plus_plus(wider, labels)
    assert found.isfinite().all()
    same(found, min_k_plus_plus(logits, labels))


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01, math.nan])
@pytest.mark.parametrize("score", [min_k, min_k_plus_plus])
def test_shares_that_make_no_sense(score, share):
    with pytest.raises(BadSetting, match=r"share is .*; expected a number above 0 and up to 1"):
        score(says(1), torch.tensor([[1]]), share)


# ---- limits --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_uniform_logits(dtype):
    logits, labels = torch.full((2, 6, 7), 3.0, dtype=dtype), torch.tensor([[MASKED, 3, 1, 2, 6, MASKED]] * 2)
    kind = torch.float64 if dtype == torch.float64 else torch.float32
    same(mean_loss(logits, labels), torch.full((2,), math.log(7), dtype=kind))
    same(probability(logits, labels), torch.full((2,), 1 / 7, dtype=kind))
    same(min_k(logits, labels), torch.full((2,), -math.log(7), dtype=kind))
    same(min_k_plus_plus(logits, labels), torch.zeros(2, dtype=kind), atol=1e-3, rtol=0)


def test_a_model_that_is_sure_and_right_or_sure_and_wrong():
    labels = torch.tensor([[MASKED, 1, 2, 3, MASKED]])
    for height in (40.0, 4e4):
        right, wrong = says(0, 1, 2, 3, 0, height=height).float(), says(0, 2, 3, 1, 0, height=height).float()
        wanted = {mean_loss: 0.0, probability: 1.0, exact_memorization: 1.0, extraction_strength: 1.0, min_k: 0.0}
        for score, value in wanted.items():
            assert score(right, labels).item() == pytest.approx(value, abs=1e-6)
        assert min_k_plus_plus(right, labels).item() == pytest.approx(0.0, abs=1e-3)
        wanted = {mean_loss: height, probability: 0.0, exact_memorization: 0.0, extraction_strength: 0.0, min_k: -height}
        for score, value in wanted.items():
            assert score(wrong, labels).item() == pytest.approx(value, abs=1e-6)
        assert -math.inf < min_k_plus_plus(wrong, labels).item() < -1e3


@EACH_SCORE
def test_an_answer_of_one_token_has_the_score_of_that_token(score):
    logits, labels = random_answers()
    row, place = next((row, place) for row in range(1, 40) for place in range(9) if labels[row, place] != MASKED)
    alone = torch.full_like(labels[:1], MASKED)
    alone[0, place] = labels[row, place]
    found = score(logits[row : row + 1], alone)
    assert found.isfinite().all()
    same(found, score(logits[row : row + 1, place : place + 1], labels[row : row + 1, place : place + 1]))
    log_p = logits[row, place].log_softmax(-1)[labels[row, place]]
    assert mean_loss(logits[row : row + 1], alone).item() == pytest.approx(-log_p.item())


@EACH_SCORE
def test_only_examples_without_an_answer_have_no_score(score):
    logits, labels = random_answers()
    found = score(logits, labels)
    assert found.shape == (40,)
    assert found.isnan().tolist() == [True] + [False] * 39


@EACH_SCORE
def test_no_examples_and_no_places(score):
    assert score(torch.zeros(0, 3, 5), torch.zeros(0, 3, dtype=torch.long)).shape == (0,)
    assert score(torch.zeros(2, 0, 5), torch.zeros(2, 0, dtype=torch.long)).isnan().tolist() == [True, True]


# ---- what changes nothing, and what does ---------------------------------------------------------------------------------


@EACH_SCORE
@pytest.mark.parametrize("filling", [0.0, 1e30, math.inf, math.nan])
@pytest.mark.parametrize("left", [0, 1, 4])
def test_padding_changes_nothing(score, left, filling):
    logits, labels = random_answers()
    n, _, vocabulary = logits.shape
    before, after = (torch.full((n, width, vocabulary), filling, dtype=logits.dtype) for width in (left, 4 - left))
    masked = [torch.full((n, width), MASKED) for width in (left, 4 - left)]
    found = score(torch.cat([before, logits, after], 1), torch.cat([masked[0], labels, masked[1]], 1))
    same(found, score(logits, labels))


@EACH_SCORE
def test_each_example_stands_for_itself(score):
    logits, labels = random_answers()
    found = score(logits, labels)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    same(score(logits[order], labels[order]), found[order])
    same(torch.cat([score(logits[row : row + 1], labels[row : row + 1]) for row in range(40)]), found)


@EACH_SCORE
def test_a_constant_added_to_all_logits_of_a_place_changes_nothing(score):
    logits, labels = random_answers()
    shift = 5 * torch.randn(40, 9, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    same(score(logits + shift, labels), score(logits, labels))


@EACH_SCORE
def test_what_the_answer_is_changes_the_score(score):
    logits, labels = random_answers()
    other = torch.where(labels == MASKED, labels, (labels + 1) % 4)
    assert (score(logits, labels)[1:] != score(logits, other)[1:]).float().mean() > 0.7


@pytest.mark.parametrize("score", [mean_loss, probability, exact_memorization, min_k, min_k_plus_plus])
def test_the_order_of_tokens_matters_to_extraction_strength_alone(score):
    logits, labels = random_answers()
    same(score(logits.flip(1), labels.flip(1)), score(logits, labels))
    assert (extraction_strength(logits.flip(1), labels.flip(1)) != extraction_strength(logits, labels))[1:].any()


# ---- types ---------------------------------------------------------------------------------------------------------------


@EACH_SCORE
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_that_of_the_same_logits_in_float32(score, dtype):
    logits, labels = random_answers()
    rounded = logits.to(dtype)
    found = score(rounded, labels)
    assert found.dtype == torch.float32
    same(found, score(rounded.float(), labels), rtol=0, atol=0)


def test_a_long_answer_in_bfloat16_is_summed_without_its_rounding():
    """In bfloat16 itself, a sum of 2,000 values of log 2 would stop growing at 256 or be off by a percent."""
    logits, labels = torch.zeros(1, 2000, 2, dtype=torch.bfloat16), torch.ones(1, 2000, dtype=torch.long)
    assert mean_loss(logits, labels).item() == pytest.approx(math.log(2), rel=1e-5)


# ---- zlib ----------------------------------------------------------------------------------------------------------------


def test_zlib_score_divides_by_bytes_of_the_compressed_text():
    texts = ["Ærø, ærø, ærø", "", "ha " * 500]
    sizes = [len(zlib.compress(text.encode("utf-8"))) for text in texts]
    found = zlib_score(torch.tensor([3.0, 2.0, 1.0], dtype=torch.float64), texts)
    assert found.tolist() == pytest.approx([3.0 / sizes[0], 2.0 / sizes[1], 1.0 / sizes[2]])
    assert sizes[2] < 50, "repetitive text should count as short"


def test_zlib_score_needs_a_text_for_each_loss():
    for losses in (torch.zeros(3), torch.zeros(2, 1), torch.tensor(1.0)):
        with pytest.raises(BadSetting, match=r"losses of shape .* do not fit 2 texts; expected one loss for each"):
            zlib_score(losses, ["a", "b"])


# ---- wrong input ---------------------------------------------------------------------------------------------------------


@EACH_SCORE
@pytest.mark.parametrize(
    ("logits", "labels"), [((2, 4, 5), (2, 3)), ((2, 4, 5), (1, 4)), ((4, 5), (4,)), ((2, 4), (2, 4)), ((2, 4, 5, 1), (2, 4))]
)
def test_shapes_that_do_not_fit(score, logits, labels):
    with pytest.raises(
        BadSetting, match=r"logits of shape .* do not fit labels of shape .*; expected \(n, T, V\) and \(n, T\)"
    ):
        score(torch.zeros(logits), torch.zeros(labels, dtype=torch.long))


@EACH_SCORE
@pytest.mark.parametrize("label", [5, -1, -99])
def test_labels_that_are_no_token(score, label):
    with pytest.raises(BadSetting, match=rf"label {label} is no token \(0..4\), nor -100"):
        score(torch.zeros(1, 2, 5), torch.tensor([[1, label]]))


def test_the_default_share_is_that_of_tofu():
    logits, labels = random_answers()
    for score in (min_k, min_k_plus_plus):
        same(score(logits, labels), partial(score, share=0.4)(logits, labels))
        assert not torch.allclose(score(logits, labels)[1:], score(logits, labels, 0.2)[1:])
