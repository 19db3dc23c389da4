"""The network for pairs of sentences: its LSTM against PyTorch's, and what padding and order do to it."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from expunge.errors import BadSetting
from expunge.gradients import diagonal_fisher
from expunge.models import PairLSTM
from expunge.models.pair_lstm import LSTM


@pytest.fixture
def model() -> PairLSTM:
    torch.manual_seed(0)
    return PairLSTM((2, 6), 3, vocabulary=20, embedding=5, hidden=7).eval()


IDS = torch.tensor([[[3, 1, 4, 1, 5, 9], [2, 6, 0, 0, 0, 0]], [[7, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]])


def test_the_lstm_computes_what_that_of_pytorch_does():
    torch.manual_seed(0)
    ours, theirs = LSTM(4, 6), nn.LSTM(4, 6, batch_first=True)

    def reordered(rows: torch.Tensor) -> torch.Tensor:
        i, f, o, g = rows.chunk(4)
        return torch.cat([i, f, g, o])

    theirs.weight_ih_l0.data = reordered(ours.from_input.weight.data)
    theirs.weight_hh_l0.data = reordered(ours.from_state.weight.data)
    theirs.bias_ih_l0.data = reordered(ours.from_input.bias.data)
    theirs.bias_hh_l0.data.zero_()
    inputs = torch.randn(3, 9, 4)
    assert torch.allclose(ours(inputs), theirs(inputs)[0], atol=1e-6)


def test_more_padding_changes_nothing(model):
    outputs = model(IDS)
    assert outputs.shape == (2, 3) and outputs.isfinite().all()
    assert torch.allclose(model(nn.functional.pad(IDS, (0, 5))), outputs, atol=1e-6)
    assert torch.allclose(model(IDS[1:, :, :1]), outputs[1:], atol=1e-6)


def test_every_word_counts_and_so_does_their_order(model):
    first = model(IDS)[0]
    for changed in ([3, 1, 4, 1, 5, 8], [8, 1, 4, 1, 5, 9], [1, 3, 4, 1, 5, 9], [3, 1, 4, 1, 5, 0]):
        other = IDS.clone()
        other[0, 0] = torch.tensor(changed)
        assert not torch.allclose(model(other)[0], first, atol=1e-6)


def test_the_order_of_the_two_sentences_does_not_count(model):
    assert torch.allclose(model(IDS.flip(1)), model(IDS), atol=1e-6)


def test_a_sentence_without_words_has_the_state_zero(model):
    states = model._states(IDS[1])
    assert states[0].any() and not states[1].any()


def test_every_parameter_learns_but_the_vector_of_the_padding(model):
    ids = torch.arange(20).view(1, 2, 10).expand(4, 2, 10)
    model(ids).square().sum().backward()
    silent = [name for name, value in model.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []
    assert not model.embedding.weight.grad[0].any() and not model.embedding.weight[0].any()
    assert all(row.any() for row in model.embedding.weight.grad[1:])


def test_other_parameters_can_be_put_in_and_single_examples_have_gradients(model):
    doubled = {name: 2 * value.detach() for name, value in model.named_parameters()}
    assert not torch.allclose(functional_call(model, doubled, (IDS,)), model(IDS))
    batches = [(IDS, torch.zeros(2, 3))]
    losses = lambda network, batch: (network(batch[0]) - batch[1]).square().mean(1)  # noqa: E731
    by_example = diagonal_fisher(model, losses, batches)
    one_by_one = diagonal_fisher(model, losses, [(IDS[:1], torch.zeros(1, 3)), (IDS[1:], torch.zeros(1, 3))], per_example=False)
    assert all(torch.allclose(by_example[name], one_by_one[name], atol=1e-6) for name in by_example)


def test_dropout_is_for_training_only():
    torch.manual_seed(0)
    model = PairLSTM((2, 6), vocabulary=20, dropout=0.5)
    assert not torch.equal(model(IDS), model(IDS))
    model.eval()
    assert torch.equal(model(IDS), model(IDS))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairLSTM((6,)), r"PairLSTM needs pairs of sentences of shape \(2, words\); the inputs' shape is \(6,\)"),
        (lambda: PairLSTM((3, 6)), r"needs pairs .* the inputs' shape is \(3, 6\)"),
        (lambda: PairLSTM((2, 0)), "PairLSTM needs inputs with at least one value"),
        (lambda: PairLSTM((2, 6), vocabulary=8)(IDS[:, 0]), r"needs pairs .* the inputs' shape is \(6,\)"),
        (lambda: PairLSTM((2, 6), vocabulary=8)(IDS[:, :, :0]), r"needs pairs .* the inputs' shape is \(2, 0\)"),
        (lambda: PairLSTM((2, 6), vocabulary=0), "vocabulary must be a whole number from 1, not 0"),
        (lambda: PairLSTM((2, 6), hidden=0), "hidden must be a whole number from 1, not 0"),
        (lambda: PairLSTM((2, 6), embedding=1.5), "embedding must be a whole number from 1, not 1.5"),
        (lambda: PairLSTM((2, 6), dropout=1), "dropout must be 0 or more and below 1, not 1"),
    ],
)
def test_what_is_no_pair_of_sentences_is_refused(make, message):
    with pytest.raises(BadSetting, match=message):
        make()
