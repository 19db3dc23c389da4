"""Files of graphs that jobs are tried on, and what keeps a plan from training."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from expunge import Engine
from tiny_graphs import communities


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The same communities as arrays and as a list of edges with features; and triples."""
    folder = tmp_path_factory.mktemp("graphs")
    graph = communities(size=15)
    arrays = {"node_features": graph.x.numpy(), "node_labels": graph.labels.numpy(), "edges": graph.edges.numpy()}
    np.savez(folder / "made.npz", **arrays)
    names = ("art", "law", "maths", "physics")
    rows = [
        f"p{node},{names[label]},{','.join(f'{value:.4f}' for value in values)}"
        for node, (label, values) in enumerate(zip(graph.labels.tolist(), graph.x.tolist(), strict=True))
    ]
    (folder / "people.csv").write_text("\n".join([f"id,label,{','.join(f'f{i}' for i in range(8))}", *rows]) + "\n")
    (folder / "friends.csv").write_text("source,target\n" + "".join(f"p{u},p{v}\n" for u, v in graph.edges.tolist()))
    drawn = np.random.default_rng(0).integers(0, 12, (80, 2))
    lines = [f"n{u}\t{('knows', 'likes', 'owns')[row % 3]}\tn{v}\n" for row, (u, v) in enumerate(drawn)]
    (folder / "world.txt").write_text("".join(lines))
    return folder


@pytest.fixture
def files(made, tmp_path, monkeypatch) -> Path:
    """Those files in the working directory."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EXPUNGE_DATA", raising=False)
    return tmp_path


@pytest.fixture
def never_trains(monkeypatch):
    """Whatever trains fails: a plan reads data and chooses settings, no more."""

    def fit(*args, **settings):
        raise AssertionError("a plan must not train")

    monkeypatch.setattr(Engine, "fit", fit)
