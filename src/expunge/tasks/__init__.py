"""How a model is read: one file for each modality."""

from expunge.registry import by_name
from expunge.tasks.classification import ClassificationTask
from expunge.tasks.regression import RegressionTask
from expunge.tasks.task import Task

TASKS = by_name((ClassificationTask, RegressionTask))

__all__ = ["TASKS", "ClassificationTask", "RegressionTask", "Task"]
