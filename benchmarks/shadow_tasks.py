"""What attacks with shadow models see on nodes, links, pairs and facts: python benchmarks/shadow_tasks.py

Each kind of model is trained until it knows much of its examples by heart, a part of which must go; then twice without that
part. LiRA and RMIA with 8 shadow models, and one threshold on the loss beside them, are put to all three; means over seeds.

    nodes   a tenth of Cora's training nodes, GCN of 64, 100 epochs
    links   a tenth of Cora's training edges, GCN of 64 with embeddings of 32, 100 epochs
    pairs   a choice of each of the first 200 users of MovieLens (ml-latest-small), BPR-MF of 16, 40 epochs
    facts   20 of 40 facts on made-up people, a Llama of two layers of 32, 30 epochs; 20 more were never taught

Kinds whose data is not under EXPUNGE_DATA are left out. Exit code 1 where an attack doesn't flag an original (AUC above 0.6),
or flags a retrained model (off 0.5 by more than 0.15), on average.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from expunge.audits import RMIA, Audit, LiRA, Membership, References, Subject
from expunge.data.graph_files import load_graph
from expunge.data.graph_splits import split_links, split_nodes
from expunge.data.interaction_files import load_interactions
from expunge.data.interaction_splits import split_interactions
from expunge.data.personas import in_sentences, personas
from expunge.engine import Engine
from expunge.errors import BadFile
from expunge.interactions import Interactions, Removal
from expunge.language.fact_split import fact_split
from expunge.methods import Retrain
from expunge.models.gnn import GCN
from expunge.models.recommenders import build_recommender
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.split import Split, Stream
from expunge.tasks import LanguageTask, LinkPredictionTask, NodeClassificationTask, RecommendationTask, Task

ATTACKS: tuple[Audit, ...] = (Membership(resamples=2), LiRA(shadows=8), RMIA(shadows=8))
NAMES = ("original", "retrained", "second retrained")
World = tuple[Task[Any], Retrain, Stream, Split]


def nodes(seed: int) -> World:
    source = load_graph("cora")
    parts = split_nodes(source.graph, 0.1, 0.3, seed)
    width, classes = source.graph.width, len(source.classes)
    task = NodeClassificationTask(lambda: GCN(width, hidden=64, outputs=classes), classes)
    recipe = Retrain(epochs=100, optimizer=Optimizer("adam", 1e-2), schedule="constant")
    return task, recipe, parts.training(), parts.without(parts.train[: len(parts.train) // 10])


def links(seed: int) -> World:
    graph = load_graph("cora").graph
    parts = split_links(graph, 0.05, 0.1, seed)
    task = LinkPredictionTask(lambda: GCN(graph.width, hidden=64, outputs=32))
    recipe = Retrain(epochs=100, optimizer=Optimizer("adam", 1e-2), schedule="constant")
    gone = torch.randperm(len(parts.graph.edges), generator=torch.Generator().manual_seed(seed))
    return task, recipe, parts.training(), parts.without(gone[: len(gone) // 10])


def pairs(seed: int) -> World:
    whole = load_interactions("movielens-latest-small").interactions
    few = Interactions.of(200, whole.items, whole.pairs[whole.pairs[:, 0] < 200])
    parts = split_interactions(few, 0.1, 0.2, seed)
    task = RecommendationTask(build_recommender("bpr-mf", parts.train, dim=16))
    recipe = Retrain(epochs=40, optimizer=Optimizer("adam", 1e-2), schedule="constant")
    drawn = torch.rand(parts.train.users, generator=torch.Generator().manual_seed(seed))
    gone = parts.train.starts[:-1] + (drawn * parts.train.activity).long()
    return task, recipe, parts.training(), parts.without(Removal(rows=gone))


def facts(seed: int) -> World:
    found = [replace(fact, phrasings=()) for fact in in_sentences(personas(60, seed, relations=1).facts)]
    tokenizer = small_tokenizer([text for fact in found for text in (fact.question, fact.answer)], 400)
    task = LanguageTask(small_llama(len(tokenizer), hidden=32, layers=2, heads=2, length=64), tokenizer, length=48)
    split = fact_split(task.encode, found[:20], found[20:40], found[40:], batch_size=20)
    return task, Retrain(epochs=30, optimizer=Optimizer("adamw", 1e-2)), split.everything, split


def areas(world: World, seed: int) -> list[list[float]]:
    """AUC of each attack on the three models."""
    task, recipe, training, split = world
    engine = Engine(seed, progress=False)

    def subject(name: str, stream: Stream, its: Split) -> Subject:
        with engine.scope(name):
            return Subject(name, recipe.train(task, stream, engine), task, its, engine)

    original = subject("original", training, task.as_trained(split))
    golds = subject("first", split.retain, split), subject("second", split.retain, split)
    references = References(original, golds, recipe.train)
    found = [[attack(each, references)[f"{attack.name}_auc"].value for each in (original, *golds)] for attack in ATTACKS]
    return [[float("nan") if value is None else value for value in row] for row in found]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", default=["nodes", "links", "pairs", "facts"])
    given = parser.parse_args()
    torch.set_num_threads(1)
    kinds: dict[str, Callable[[int], World]] = {"nodes": nodes, "links": links, "pairs": pairs, "facts": facts}
    print(f"| of | AUC of | {' | '.join(NAMES)} |\n|---|---|---:|---:|---:|", flush=True)
    held = True
    for kind in given.kinds:
        started = time.process_time()
        try:
            found = [areas(kinds[kind](seed), seed) for seed in range(given.seeds)]
        except BadFile as error:
            print(f"{kind} left out: {error}", file=sys.stderr)
            continue
        for attack, rows in zip(ATTACKS, zip(*found, strict=True), strict=True):
            means = [statistics.fmean(column) for column in zip(*rows, strict=True)]
            print(f"| {kind} | {attack.name} | {' | '.join(f'{value:.3f}' for value in means)} |", flush=True)
            if attack.name != "membership":
                held = held and means[0] > 0.6 and all(abs(value - 0.5) <= 0.15 for value in means[1:])
        print(f"{kind}: {time.process_time() - started:.0f} s of CPU", file=sys.stderr, flush=True)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
