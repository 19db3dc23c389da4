"""How many threads jobs and studies take."""

import pytest
import torch
from torch import nn

from expunge.studies.machine import fitting_threads


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_a_small_network_gets_one_thread_and_torchs_choice_comes_back(two_threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with fitting_threads(nn.Linear(2, 2)):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2


def test_a_large_network_keeps_all_threads(two_threads, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with fitting_threads(nn.Linear(1_000, 1_001)):
        assert torch.get_num_threads() == 2


def test_a_number_of_threads_that_was_asked_for_is_followed(two_threads, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with fitting_threads(nn.Linear(2, 2)):
        assert torch.get_num_threads() == 2
