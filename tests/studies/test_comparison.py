"""Figures that are kept: read again for the same models and audits, asked anew for any others."""

import pytest

from expunge import Engine
from expunge.audits import Accuracy, Membership, References, Subject
from expunge.split import Split
from expunge.studies.comparison import examine
from tiny import class_split, network, task


@pytest.fixture
def asked(monkeypatch) -> list[str]:
    """Who was asked for accuracies, in turn."""
    names, examine_ = [], Accuracy.examine

    def counted(audit, subject, references):
        names.append(subject.name)
        return examine_(audit, subject, references)

    monkeypatch.setattr(Accuracy, "examine", counted)
    return names


def test_figures_are_read_for_the_same_models_and_asked_for_others(tmp_path, asked):
    models = [Engine(seed, progress=False).new_model(network) for seed in (0, 1, 2)]

    def figures(model, gold, audits=(Accuracy(),), split: Split | None = None, seconds: float | None = None):
        parts = split or class_split()
        subject, retrained = (
            Subject(name, which, task(), parts, Engine(0, progress=False, folder=tmp_path), time)
            for name, which, time in (("mine", model, seconds), ("retrained", gold, None))
        )
        return examine([subject], References(retrained=(retrained,)), audits)["mine"]

    first = figures(models[0], models[1])
    before = len(asked)
    assert figures(models[0], models[1]) == first and len(asked) == before > 0
    assert all(figure.ideal is not None for figure in first.values())
    for other in (
        lambda: figures(models[2], models[1]),
        lambda: figures(models[0], models[2]),
        lambda: figures(models[0], models[1], (Accuracy(), Membership())),
        lambda: figures(models[0], models[1], split=class_split(8)),
        lambda: figures(models[0], models[1], seconds=2.0),
    ):
        assert figures(models[0], models[1]) == first  # so that these are what was kept last
        before = len(asked)
        other()
        assert len(asked) > before, "read from what was kept of another"
    assert figures(models[2], models[1]) != first
