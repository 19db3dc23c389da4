"""Inner products of pairs: the plain product, its gradient, and the gradient of that."""

import pytest
import torch

from expunge.graphs import inner_products as module
from expunge.graphs.inner_products import inner_products


@pytest.fixture(params=[1, 3, 1000])
def at_a_time(request, monkeypatch):
    monkeypatch.setattr(module, "_PAIRS", request.param)


def given(pairs: int = 10, nodes: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.randn(nodes, 4, dtype=torch.double, generator=generator, requires_grad=True)
    return embeddings, torch.randint(nodes, (pairs, 2), generator=generator)


def test_values_and_gradients_are_those_of_the_plain_product(at_a_time):
    embeddings, pairs = given()
    weights = torch.linspace(-1, 1, len(pairs), dtype=torch.double)
    plain = (embeddings[pairs[:, 0]] * embeddings[pairs[:, 1]]).sum(1)
    found = inner_products(embeddings, pairs)
    torch.testing.assert_close(found, plain)
    wanted, got = (torch.autograd.grad((weights * each).sum(), embeddings)[0] for each in (plain, found))
    torch.testing.assert_close(got, wanted)


def test_it_is_twice_differentiable(at_a_time):
    embeddings, pairs = given()
    assert torch.autograd.gradcheck(lambda z: inner_products(z, pairs), embeddings)
    assert torch.autograd.gradgradcheck(lambda z: inner_products(z, pairs), embeddings)


def test_further_columns_are_passed_over_and_no_pairs_give_nothing(at_a_time):
    embeddings, pairs = given()
    triples = torch.cat([pairs, torch.ones(len(pairs), 1, dtype=torch.long)], 1)
    assert torch.equal(inner_products(embeddings, triples), inner_products(embeddings, pairs))
    none = inner_products(embeddings, pairs[:0])
    assert none.shape == (0,)
    assert torch.autograd.grad(none.sum(), embeddings)[0].abs().sum() == 0


def test_the_incoming_gradient_is_left_as_it_is(at_a_time):
    embeddings, pairs = given()
    weights = torch.ones(len(pairs), dtype=torch.double)
    inner_products(embeddings, pairs).backward(weights)
    assert (weights == 1).all()
