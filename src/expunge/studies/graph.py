"""Unlearning in graph networks: edges inside and outside the neighbourhood of what is tested, nodes, and a class of nodes.

Data: Cora, a citation graph. `quick` has a GCN and forgets 5 % of the training edges within two steps of a test edge, 10 % of
the training nodes, and a class; `full` adds edges outside, the networks GAT and GIN, and a linear one, of which forgetting
can be certified. Any graph goes in its place:

    expunge study graph --data FILE.npz --fraction 0.05 --where in
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, get_args

from expunge.data.graph_files import load_graph
from expunge.data.graph_source import GraphSource
from expunge.errors import BadFile, BadRequest, BadSetting
from expunge.studies.drawn_scenario import DrawnScenario
from expunge.studies.graph_scenarios import Where, links, node_class, nodes
from expunge.studies.study import Budget, ComparisonStudy, Plan

__all__ = ["GraphStudy"]

FRACTION = 0.05
OTHER_NETWORKS = ("gat", "gin")


@dataclass(frozen=True)
class GraphStudy(ComparisonStudy):
    """See the module.

    Args:
        fraction: share of the training edges to forget.
        where: "in" for edges within two steps of a test edge, "out" for the others, "any" for all.
        network: one of the networks for graphs, or an import string.
    """

    fraction: float | None = None
    where: str | None = None
    network: str | None = None

    default_data: ClassVar[str] = "cora"

    def plan(self, data: str | None, budget: Budget) -> Plan:
        if self.where is not None and self.where not in get_args(Where):
            raise BadSetting(f"study graph: --where is in, out or any, not {self.where!r}")
        source = _read(data or self.default_data, asked=data is not None)
        scenarios = self._scenarios(source, budget)
        return Plan(
            source.name,
            scenarios,
            {"graph": repr(source.graph), "budget": budget},
            [note for note in (source.note, _left_out(scenarios, self.where, budget)) if note],
            scenarios[0].task.new_model(),
        )

    def _scenarios(self, source: GraphSource, budget: Budget) -> Sequence[DrawnScenario]:
        network = self.network or ("r-gcn" if source.graph.relations else "gcn")
        fraction = FRACTION if self.fraction is None else self.fraction
        if self.fraction is not None or self.where is not None:
            where: Where = self.where or "in"  # type: ignore[assignment]
            return (links(source, network, fraction, where),)
        places: Sequence[Where] = ("in",) if budget == "quick" else ("in", "out")
        one = self.network or budget == "quick" or source.graph.relations
        networks = (network,) if one else (network, *OTHER_NETWORKS)
        found = [scenario for each in networks for where in places for scenario in _possible(source, each, fraction, where)]
        if source.classes:
            middle = source.classes[len(source.classes) // 2]
            found += [nodes(source, network, 0.1), node_class(source, network, middle)]
            found += [nodes(source, "sgc", 0.1)] if budget == "full" else []
        return found


def _left_out(scenarios: Sequence[DrawnScenario], where: str | None, budget: Budget) -> str:
    if budget == "quick" or where is not None or any("outside" in scenario.title for scenario in scenarios):
        return ""
    return "Too few edges lie outside of the neighbourhood of test edges: that case was left out."


def _possible(source: GraphSource, network: str, fraction: float, where: Where) -> list[DrawnScenario]:
    """The case, unless so few edges lie there that it cannot be asked for; nobody has named it."""
    try:
        return [links(source, network, fraction, where)]
    except BadRequest:
        if where != "out":
            raise
        return []


def _read(data: str, asked: bool) -> GraphSource:
    try:
        return load_graph(data)
    except BadFile:
        if asked:
            raise
        source = load_graph("karate")
        note = f"{data} was not found (EXPUNGE_DATA), so the embedded karate club was used; figures on it mean little."
        return replace(source, note=f"{note} {source.note}".strip())
