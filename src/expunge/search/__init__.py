"""Searching for small networks of cells by gradients, and by what must be beaten: chance, published cells, hand-made networks.

EmoNAS-style: of the paper (M. Verma, M. Mandal, S. K. Reddy, Y. R. Meedimale, S. K. Vipparthi. "Efficient Neural Architecture
Search for Emotion Recognition", Expert Systems with Applications 2023, arXiv 2303.13653) the abstract alone was to be read
here, so the search space is that of DARTS, and no figure is the paper's.
"""

from expunge.search.cell_space import CellSpace
from expunge.search.cost import CostReport, cost_report, macs
from expunge.search.darts import Darts
from expunge.search.deriving import decidedness, derive
from expunge.search.drawing import dot, draw
from expunge.search.expected_cost import ExpectedCost, expected_cost
from expunge.search.export import Exported, export_onnx
from expunge.search.gdas import GDAS
from expunge.search.genotype import Genotype
from expunge.search.halves import Halves, halve
from expunge.search.hand_cnn import HandCNN, MobileNetV3Small, SmallResNet
from expunge.search.method import Found, SearchMethod
from expunge.search.network import CellNetwork
from expunge.search.operations import OPERATIONS, register_operation
from expunge.search.pc_darts import PCDarts
from expunge.search.presets import PRESETS
from expunge.search.random_search import RandomSearch
from expunge.search.searching import SEARCHES, search
from expunge.search.supernet import Supernet
from expunge.search.training import Recipe, accuracy, retrain, train
from expunge.search.zero_cost import ZeroCost

__all__ = [
    "GDAS",
    "OPERATIONS",
    "PRESETS",
    "SEARCHES",
    "CellNetwork",
    "CellSpace",
    "CostReport",
    "Darts",
    "ExpectedCost",
    "Exported",
    "Found",
    "Genotype",
    "Halves",
    "HandCNN",
    "MobileNetV3Small",
    "PCDarts",
    "RandomSearch",
    "Recipe",
    "SearchMethod",
    "SmallResNet",
    "Supernet",
    "ZeroCost",
    "accuracy",
    "cost_report",
    "decidedness",
    "derive",
    "dot",
    "draw",
    "expected_cost",
    "export_onnx",
    "halve",
    "macs",
    "register_operation",
    "retrain",
    "search",
    "train",
]
