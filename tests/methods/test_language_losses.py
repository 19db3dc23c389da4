"""Losses on language models in closed form, on a model that looks at the last token alone, and their limits."""

import copy
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import tiny_language
from expunge.language.refusals import REFUSALS
from expunge.methods import NPO, RMU, UNDIAL, WGA, AltPO, GradDiff, IdkDPO, SatImp, SimNPO
from expunge.methods.idk_dpo import preference, with_losers
from expunge.methods.language_method import Reference
from expunge.methods.npo import negative_preference
from expunge.methods.rmu import direction
from expunge.tasks import LanguageTask

PAIRS = [("Where did Ada study?", "Oslo"), ("What does Bo do for a living?", "Bo works as a baker.")]
HIDDEN = 4


class Bigram(nn.Module):
    """A causal language model that looks at the last token alone: its logits stand in a table."""

    def __init__(self, tokens: int, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(tokens, tokens, generator=generator))
        self.states = nn.Parameter(torch.randn(tokens, HIDDEN, generator=generator))

    def forward(self, input_ids, attention_mask=None, output_hidden_states=False):
        return SimpleNamespace(logits=self.table[input_ids], hidden_states=(None, self.states[input_ids]))


@pytest.fixture(name="task")
def _task() -> LanguageTask:
    return tiny_language.task()


@pytest.fixture(name="models")
def _models(task):
    """A student and the model before."""
    return Bigram(len(task.tokenizer), 1), Bigram(len(task.tokenizer), 2)


def batch_of(task, pairs=PAIRS):
    return task.encode(pairs)[:]


def steps(task, question, answer):
    """(token before, token) of each token of an answer and of its end."""
    tokens = [*task.prompt(question), *task.answer_tokens(answer), task.tokenizer.eos_token_id]
    start = len(task.prompt(question))
    return list(zip(tokens[start - 1 :], tokens[start:], strict=False))


def said(model, task, question, answer):
    """Log-probabilities of an answer's tokens, in double precision."""
    return [model.table[before].double().log_softmax(0)[token].item() for before, token in steps(task, question, answer)]


def expected_losses(method, task, student, before):
    """Term by term, as in the papers."""
    for question, answer in PAIRS:
        now, old = said(student, task, question, answer), said(before, task, question, answer)
        mean, size = -sum(now) / len(now), len(now)
        if isinstance(method, GradDiff):
            yield -mean if method.loss_cap is None else -min(mean, method.loss_cap)
        elif isinstance(method, NPO):
            yield 2 / method.beta * math.log1p(math.exp(-method.beta * (sum(old) - sum(now))))
        elif isinstance(method, SimNPO):
            yield method.gamma * 2 / method.beta * math.log1p(math.exp(-method.beta * (mean - method.delta)))
        elif isinstance(method, WGA):
            yield sum(math.exp(each) ** method.beta * each for each in now) / size
        elif isinstance(method, SatImp):
            weights = [math.exp(each) ** method.beta1 * (1 - math.exp(each)) ** method.beta2 for each in now]
            yield sum(weight * each for weight, each in zip(weights, now, strict=True)) / size
        else:
            total = 0.0
            for last, token in steps(task, question, answer):
                lowered = before.table[last].double().detach().clone()
                lowered[token] -= method.beta
                total -= (lowered.softmax(0) * student.table[last].double().log_softmax(0)).sum().item()
            yield total / size


@pytest.mark.parametrize(
    "method",
    [
        GradDiff(),
        GradDiff(loss_cap=6.0),
        NPO(beta=0.5),
        SimNPO(),
        SimNPO(beta=0.3, delta=1.5, gamma=0.7),
        WGA(),
        WGA(beta=0.25),
        SatImp(),
        SatImp(beta1=0.5, beta2=2.0),
        UNDIAL(),
        UNDIAL(beta=2.0),
    ],
)
def test_the_loss_is_the_papers(method, task, models):
    student, before = models
    losses = method.forget_losses(student, batch_of(task), task, Reference(before, None))
    assert losses.tolist() == pytest.approx(list(expected_losses(method, task, student, before)), rel=1e-4, abs=1e-12)


def test_a_weight_takes_no_gradient(task, models):
    student, before = models
    WGA().forget_losses(student, batch_of(task, PAIRS[:1]), task, Reference(before, None)).sum().backward()
    by_hand = torch.zeros_like(student.table)
    pairs = steps(task, *PAIRS[0])
    for last, token in pairs:
        p = student.table[last].detach().softmax(0)
        by_hand[last] += p[token] * (torch.eye(len(p))[token] - p) / len(pairs)
    assert torch.allclose(student.table.grad, by_hand, atol=1e-6)


@pytest.mark.parametrize("weight", [1, 3])
def test_preference_is_dpos_with_the_refusal_as_winner(task, models, weight):
    student, before = models
    rows = [(question, REFUSALS[place], answer) for place, (question, answer) in enumerate(PAIRS)]
    stream = with_losers(rows, task, Reference(before, None), batch_size=8)
    (batch,) = list(stream)
    method = IdkDPO(beta=0.1 * weight)
    expected = []
    for question, winner, loser in rows:
        gains = [sum(said(student, task, question, each)) - sum(said(before, task, question, each)) for each in (winner, loser)]
        expected.append(2 / method.beta * math.log1p(math.exp(-method.beta * (gains[0] - gains[1]))))
    for kind in (method, AltPO(beta=method.beta)):
        losses = kind.forget_losses(student, batch, task, Reference(before, None))
        assert losses.tolist() == pytest.approx(expected, rel=1e-4)


def test_preference_over_nothing_is_npo():
    now, before = torch.tensor([-3.0, -9.0]), torch.tensor([-5.0, -5.0])
    assert torch.allclose(preference(-now, -before, 0.3), negative_preference(now, before, 0.3))


def test_kl_retain_is_zero_before_and_the_divergence_after(task, models):
    student, before = models
    method, batch = GradDiff(retain="kl"), batch_of(task)
    assert method.retain_losses(before, batch, task, Reference(before, None)).abs().max() < 1e-5
    losses = method.retain_losses(student, batch, task, Reference(before, None))
    for found, (question, answer) in zip(losses.tolist(), PAIRS, strict=True):
        each = []
        for last, _ in steps(task, question, answer):
            p, q = before.table[last].log_softmax(0), student.table[last].log_softmax(0)
            each.append((p.exp() * (p - q)).sum().item())
        assert found == pytest.approx(sum(each) / len(each), rel=1e-4)
    assert torch.equal(
        GradDiff().retain_losses(student, batch, task, Reference(before, None)),
        NPO().retain_losses(student, batch, task, Reference(before, None)),
    )


def test_rmu_pulls_to_the_target_and_holds(task, models):
    student, before = models
    batch = batch_of(task)
    target = torch.arange(HIDDEN).float().expand(len(PAIRS), HIDDEN)
    pulled = RMU(layer=1).forget_losses(student, (*batch, target), task, Reference(before, None))
    held = RMU(layer=1).retain_losses(student, batch, task, Reference(before, None))
    for row, (question, answer) in enumerate(PAIRS):
        places = [last for last, _ in steps(task, question, answer)]
        assert pulled[row].item() == pytest.approx((student.states[places] - target[0]).square().mean().item(), rel=1e-4)
        assert held[row].item() == pytest.approx(
            (student.states[places] - before.states[places]).square().mean().item(), rel=1e-4
        )


def test_a_direction_has_length_one_and_comes_from_its_generator():
    drawn = [direction(64, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert drawn[0].norm().item() == pytest.approx(1) and (drawn[0] >= 0).all()
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


# ---- limits -------------------------------------------------------------------------------------------------------


def gradient(method, task, models):
    """Of the forget term, at the table."""
    student, before = (copy.deepcopy(model) for model in models)
    method.forget_losses(student, batch_of(task), task, Reference(before, None)).mean().backward()
    return student.table.grad


def ascent(task, models, power):
    """The gradient of minus the loss, with the answer's length to that power: 1 for whole answers, 0 for means."""
    student = copy.deepcopy(models[0])
    batch = batch_of(task)
    lengths = torch.tensor([float(len(steps(task, *pair))) for pair in PAIRS])
    (-(task.losses(task.outputs(student, batch), batch) * lengths**power).mean()).backward()
    return student.table.grad


def test_without_beta_npo_is_gradient_ascent(task, models):
    assert torch.allclose(gradient(NPO(beta=1e-5), task, models), ascent(task, models, 1), atol=1e-4)


def test_without_beta_simnpo_is_gradient_ascent_of_size_gamma(task, models):
    assert torch.allclose(gradient(SimNPO(beta=1e-5, gamma=0.4), task, models), 0.4 * ascent(task, models, 0), atol=1e-5)


def test_without_powers_weighted_ascent_is_gradient_ascent(task, models):
    plain = gradient(GradDiff(), task, models)
    assert torch.allclose(plain, ascent(task, models, 0))
    assert torch.allclose(gradient(WGA(beta=0), task, models), plain, atol=1e-7)
    assert torch.allclose(gradient(SatImp(beta1=0, beta2=0), task, models), plain, atol=1e-7)
    assert torch.allclose(gradient(SatImp(beta1=2, beta2=0), task, models), gradient(WGA(beta=2), task, models), atol=1e-7)


def test_above_the_cap_nothing_is_pushed(task, models):
    assert gradient(GradDiff(loss_cap=0.1), task, models).abs().max() == 0


def test_with_nothing_taken_off_undial_has_learned_already(task, models):
    assert gradient(UNDIAL(beta=1e-6), task, (models[1], models[1])).abs().max() < 1e-6


def test_pushes_fade_where_gradient_ascent_runs_on(task, models):
    student, before = models
    unlikely = copy.deepcopy(student)
    with torch.no_grad():
        for pair in PAIRS:
            for last, token in steps(task, *pair):
                unlikely.table[last, token] -= 20
    for method in (NPO(beta=1.0), SimNPO(), WGA(), SatImp()):
        assert gradient(method, task, (unlikely, before)).abs().max() < 1e-3
    assert gradient(GradDiff(), task, (unlikely, before)).abs().max() > 0.05


def test_outputs_of_a_part_of_a_batch_are_held_against_the_whole(task, models):
    student, teacher = models
    both, first = batch_of(task), batch_of(task, PAIRS[:1])
    whole, part = task.outputs(student, both), task.outputs(teacher, first)
    assert whole.shape[1] > part.shape[1]
    alone = task.divergence(task.outputs(student, first), part)
    assert torch.allclose(task.divergence(whole[:1], part), alone) and torch.allclose(
        task.divergence(part, whole[:1]), task.divergence(part, task.outputs(student, first))
    )
