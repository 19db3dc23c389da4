"""How a model is read: one file for each modality."""

from expunge.registry import by_name
from expunge.tasks.classification import ClassificationTask
from expunge.tasks.diffusion import DiffusionTask
from expunge.tasks.graph import GraphTask
from expunge.tasks.language import LanguageTask
from expunge.tasks.link_prediction import LinkPredictionTask
from expunge.tasks.node_classification import NodeClassificationTask
from expunge.tasks.recommendation import RecommendationTask
from expunge.tasks.regression import RegressionTask
from expunge.tasks.task import Task

TASKS = by_name(
    (
        ClassificationTask,
        RegressionTask,
        LinkPredictionTask,
        NodeClassificationTask,
        RecommendationTask,
        LanguageTask,
        DiffusionTask,
    )
)

__all__ = [
    "TASKS",
    "ClassificationTask",
    "DiffusionTask",
    "GraphTask",
    "LanguageTask",
    "LinkPredictionTask",
    "NodeClassificationTask",
    "RecommendationTask",
    "RegressionTask",
    "Task",
]
