"""Continual learning and unlearning: streams of requests to learn and to forget, and learners that serve them."""

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.clpu import CLPU
from expunge.continual.ewc import OnlineEWC
from expunge.continual.history import StreamHistory
from expunge.continual.joint import Joint
from expunge.continual.learner import ContinualLearner, Pupil
from expunge.continual.lwf import LwF
from expunge.continual.rehearsal import Rehearsal
from expunge.continual.requests import Learn, Lesson, RequestStream, Unlearn
from expunge.continual.running import Served, run
from expunge.continual.stream_split import StreamSplit, as_split
from expunge.continual.uniclun import UniCLUN

__all__ = [
    "CLPU",
    "ContinualLearner",
    "Joint",
    "Learn",
    "Lesson",
    "LwF",
    "OnlineEWC",
    "Pupil",
    "Rehearsal",
    "ReplayBuffer",
    "RequestStream",
    "Served",
    "StreamHistory",
    "StreamSplit",
    "UniCLUN",
    "Unlearn",
    "as_split",
    "run",
]
