"""UniCLUN: one learner for requests to learn and to forget, guided by two teachers and a bounded memory.

    learn    L_cl = CE(S(x), y) + r CE(S(b), y_b) + a1 L_od + a2 L_cd + a3 L_scd          b drawn from memory
               L_od   w_i |T(b_i) - S(b_i)|^2, w_i how sure T is of y_i                   online distillation
               L_cd   embeddings of b by T as anchors, by S as the others                 contrastive distillation
               L_scd  embeddings by S of x, of b, and of other views of both              supervised contrastive
    forget   L = min(1, 2 gamma) L_cl + min(1, 2 (1 - gamma)) KL( U(x) || S(x) )          L_cl over b alone
    T        theta_T <- m theta_T + (1 - m) theta_S,  m = min(1 - 1/(k + 1), m_max)       with probability p after each step

In the paper's words L = gamma L_cl + (1 - gamma) KL; as written here gamma = 1/2 gives both a weight of 1, as its code has it.

S is the student, T the continual teacher, a slow average of S, and U the unlearning teacher. Embeddings are unit vectors behind
a projector that T has an average of as well.

In the paper U is a network with random weights. It says the same of every input, which is not what a model says that never saw
one. Here it says what samples in memory are that T, as it was, finds most like x:

    U(x) = sum_b v_b onehot(y_b),      v = softmax of z_x . z_b / tau over the k nearest b

The label of x has no part in it, so that it serves for single samples as for whole tasks. What is published keeps averages of
parameters alone, deploys S, and never lets T forget: with m_max = 0.999 it lags behind by more steps than a request has. Here
statistics of batch normalisation are averaged too, m_max follows from the steps of a request, the average begins anew with each
request to forget, whose passes are repeated where classes that are gone are still answered, and T is what answers.
:meth:`UniCLUN.published` has the settings of the paper's code.

Reference: R. Chatterjee, V. Chundawat, A. Tarun, A. Mali, M. Mandal. "A Unified Framework for Continual Learning and
Unlearning", 2024, arXiv 2408.11374.
Needs: a memory. Costs: for each batch three passes forward, two of them with a pass back.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from expunge.continual.buffer import ReplayBuffer
from expunge.continual.learner import FAR, ContinualLearner, Pupil
from expunge.continual.losses import contrastive, online_distillation
from expunge.continual.requests import Lesson
from expunge.continual.views import View, another_view
from expunge.engine import Engine
from expunge.losses import kl_divergence
from expunge.tasks import ClassificationTask
from expunge.tasks.embedding import embedding


class Guided(nn.Module):
    """A network with a projector behind its features."""

    def __init__(self, network: nn.Module, features: int, size: int) -> None:
        super().__init__()
        self.network = network
        self.projector = nn.Sequential(nn.Linear(features, features), nn.ReLU(), nn.Linear(features, size))


class TwoTeachers(Pupil):
    """The state of UniCLUN."""

    def __init__(self, guided: Guided, memory: ReplayBuffer, classes: int) -> None:
        super().__init__(guided.network, memory, classes)
        self.guided = guided
        self.stranger: nn.Module | None = None
        self.teacher = copy.deepcopy(guided).requires_grad_(False)
        self.averaged: Tensor
        self.steps: Tensor
        self.register_buffer("averaged", torch.tensor(0))  # steps in the teacher's average
        self.register_buffer("steps", torch.tensor(0))  # of the fit that is under way

    def train(self, mode: bool = True) -> "TwoTeachers":
        """Training mode for the student alone."""
        super().train(mode)
        self.teacher.eval()
        if self.stranger is not None:
            self.stranger.eval()
        return self

    def average(self, momentum: float) -> None:
        """Let the teacher follow the student by a step."""
        self.averaged += 1
        share = max(1 / float(self.averaged), 1 - momentum)
        with torch.no_grad():
            theirs = self.guided.state_dict()
            for name, own in self.teacher.state_dict().items():
                if own.is_floating_point():
                    own.lerp_(theirs[name], share)
                else:
                    own.copy_(theirs[name])


@dataclass(frozen=True)
class UniCLUN(ContinualLearner):
    """See the module.

    Args:
        replay: r, weight of the cross-entropy of replayed samples.
        online: a1.
        contrast: a2.
        supervised: a3.
        rho: temperature of the teacher's certainty.
        tau: temperature of both contrastive losses.
        gamma: how learning and forgetting share in a request to forget, at its beginning: 1 only learns, 0 only forgets.
        gamma_end: the same at its end; it changes by the step, and anew where passes are repeated. As `gamma` when None.
        unlearning_teacher: "random" weights; "uniform" over all classes that are there; "others", the continual teacher as it
            was, if it could not answer with classes that are gone; "neighbours" in memory.
        neighbours: k.
        momentum: m_max; None for 1 - 1/n, with n the share `reach` of the steps of a request.
        reach: see `momentum`.
        update_probability: p.
        deploy: which network answers, "teacher" (the average) or "student".
        restart: begin the average anew with each request to forget.
        view: of the second view of an input.
        embedding: length of embeddings.
    """

    replay: float = 1.0
    online: float = 0.1
    contrast: float = 0.1
    supervised: float = 0.3
    rho: float = 1.0
    tau: float = 0.07
    gamma: float = 0.5
    gamma_end: float | None = None
    unlearning_teacher: Literal["random", "uniform", "others", "neighbours"] = "neighbours"
    neighbours: int = 10
    momentum: float | None = None
    reach: float = 0.45
    update_probability: float = 0.8
    deploy: Literal["teacher", "student"] = "teacher"
    restart: bool = True
    view: View = "shift"
    embedding: int = 64

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("replay", "online", "contrast", "supervised"):
            self.require(getattr(self, name) >= 0, f"{name} must be 0 or more, not {getattr(self, name)}")
        for name in ("rho", "tau", "reach"):
            self.require(getattr(self, name) > 0, f"{name} must be above 0, not {getattr(self, name)}")
        for name in ("gamma", "gamma_end", "momentum", "update_probability"):
            value = getattr(self, name)
            self.require(value is None or 0 <= value <= 1, f"{name} must lie between 0 and 1, not {value}")
        self.require(self.neighbours >= 1, f"neighbours must be at least 1, not {self.neighbours}")

    @classmethod
    def published(cls, **settings: Any) -> "UniCLUN":
        """The settings of the paper's code for memories of 200 and 500, as far as they go here.

        The head that tells rotations is left out, and averages have the statistics of batch normalisation. Its teacher is not
        asked to forget, so that the state still knows what the network does not answer any more.
        """
        own: dict[str, Any] = {
            "unlearning_teacher": "random",
            "replay": 0.5,
            "update_probability": 0.2,
            "momentum": 0.999,
            "deploy": "student",
            "restart": False,
            "repeats": 0,
        }
        return cls(**(own | settings))

    def begin(self, task: ClassificationTask, engine: Engine, memory: ReplayBuffer) -> Pupil:
        with engine.seeded("pupil"):
            student = task.new_model()
            features = task.features(student.eval(), (memory.inputs[:1].cpu(), memory.labels[:1].cpu())).shape[1]
            pupil = TwoTeachers(Guided(student, features, self.embedding), memory, task.classes)
            if self.unlearning_teacher == "random":  # one for all requests
                pupil.stranger = task.new_model().requires_grad_(False)
            return pupil.to(engine.device)

    def deployed(self, pupil: Pupil) -> nn.Module:
        network: nn.Module = pupil.teacher.network if self.deploy == "teacher" else pupil.student  # type: ignore[assignment, union-attr]
        return network

    def learn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        def loss(pupil: Any, batch: Any) -> dict[str, Tensor]:
            return self._terms(pupil, batch, task)[1]

        self._fit(pupil, loss, lesson, engine, "learn")

    def unlearn(self, pupil: Pupil, lesson: Lesson, task: ClassificationTask, engine: Engine) -> None:
        assert isinstance(pupil, TwoTeachers)
        teach, total = self._unlearning_teacher(pupil, task), self._steps(lesson)
        end = self.gamma if self.gamma_end is None else self.gamma_end
        if self.restart:
            pupil.averaged.zero_()

        def loss(pupil: Any, batch: Any) -> dict[str, Tensor]:
            gamma = self.gamma + (end - self.gamma) * float(pupil.steps) / max(1, total - 1)
            logits, terms = self._terms(pupil, batch, task, forget=True)
            forget = min(1.0, 2 * (1 - gamma)) * kl_divergence(logits, teach(batch))
            return {"forget": forget} | {name: min(1.0, 2 * gamma) * value for name, value in terms.items()}

        self.until_gone(lambda name: self._fit(pupil, loss, lesson, engine, name), pupil, lesson, task)

    def _unlearning_teacher(self, pupil: TwoTeachers, task: ClassificationTask) -> Callable[[Any], Tensor]:
        """What the student is to say of a batch that goes: logits, shape (n, classes)."""
        away = FAR * (~pupil.known).float()
        if self.unlearning_teacher == "random":
            stranger = pupil.stranger
            assert stranger is not None
            return lambda batch: _quietly(stranger, batch, task)
        if self.unlearning_teacher == "uniform":
            return lambda batch: away.expand(len(batch[0]), -1)
        before = copy.deepcopy(pupil.teacher).eval()
        if self.unlearning_teacher == "others":
            return lambda batch: _quietly(before.network, batch, task) + away
        held, labels, _, _ = pupil.memory.held()
        truth = F.one_hot(labels, task.classes).float()
        with torch.no_grad():
            known = torch.cat([_both(before, part, task)[1] for part in held.split(256)])

        def like_neighbours(batch: Any) -> Tensor:
            with torch.no_grad():
                near = _both(before, batch[0], task)[1] @ known.T
            weight, which = near.topk(min(self.neighbours, len(known)), dim=1)
            share = ((weight / self.tau).softmax(1)[:, :, None] * truth[which]).sum(1)
            return share.clamp(min=1e-6).log() + away

        return like_neighbours

    def _terms(
        self, pupil: TwoTeachers, batch: Any, task: ClassificationTask, forget: bool = False
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits of a batch, and L_cl by its terms: over the batch and samples from memory, or over those alone.

        One pass serves both, so that batch normalisation sees what it saw in training.

        Args:
            forget: whether the batch is to be forgotten, so that L_cl leaves it out.
        """
        old, old_labels, _, _ = pupil.memory.draw(self.replayed)
        inputs, labels = torch.cat([batch[0], old]), torch.cat([batch[1], old_labels])
        new = len(batch[1])
        logits, embedded = _both(pupil.guided, inputs, task)
        terms: dict[str, Tensor] = {} if forget else {"learn": self.cross_entropy(logits[:new], labels[:new], pupil)}
        if len(old):
            terms |= self._remembering(pupil, old, old_labels, logits[new:], embedded[new:], task)
        first = new if forget else 0
        if self.supervised and len(labels) > first:
            own = everything = embedded[first:]
            seen = inputs[first:]
            if (others := another_view(seen, self.view)) is not seen:
                everything = torch.cat([own, _both(pupil.guided, others, task)[1]])
            terms["supervised"] = self.supervised * contrastive(own, everything, labels[first:], self.tau, same=True)
        return logits[:new], terms

    def _remembering(
        self, pupil: TwoTeachers, old: Tensor, labels: Tensor, logits: Tensor, embedded: Tensor, task: ClassificationTask
    ) -> dict[str, Tensor]:
        terms = {"replay": self.replay * self.cross_entropy(logits, labels, pupil)}
        if self.online or self.contrast:
            with torch.no_grad():
                said, anchors = _both(pupil.teacher, old, task)
            terms["online"] = self.online * online_distillation(logits, said, labels, self.rho)
            terms["contrast"] = self.contrast * contrastive(anchors, embedded, labels, self.tau)
        return terms

    def _fit(
        self, pupil: Pupil, loss: Callable[[Any, Any], dict[str, Tensor]], lesson: Lesson, engine: Engine, name: str
    ) -> None:
        assert isinstance(pupil, TwoTeachers)
        momentum = self._momentum(self.update_probability * self._steps(lesson)) if self.momentum is None else self.momentum
        averaged = int(pupil.averaged)
        pupil.steps.zero_()

        def built(parameters: Any) -> torch.optim.Optimizer:
            optimizer = self.optimizer(parameters)
            optimizer.register_step_post_hook(follow)
            return optimizer

        def follow(*_: object) -> None:
            pupil.steps += 1
            if float(torch.rand(())) < self.update_probability:
                pupil.average(momentum)

        built.__qualname__ = repr(self.optimizer)  # what a checkpoint knows it by
        self.fit(pupil, loss, lesson, engine, name, built)
        if self.update_probability and int(pupil.averaged) == averaged:  # by chance in none of a few steps
            pupil.average(momentum)

    def _steps(self, lesson: Lesson) -> int:
        return self.epochs * -(-len(lesson.ids) // self.batch_size)

    def _momentum(self, updates: float) -> float:
        return 1 - 1 / max(1.0, self.reach * updates)


def _quietly(network: nn.Module, batch: Any, task: ClassificationTask) -> Tensor:
    """Logits without gradients."""
    with torch.no_grad():
        return task.outputs(network, batch)


def _both(guided: Guided, inputs: Tensor, task: ClassificationTask) -> tuple[Tensor, Tensor]:
    """Logits and unit embeddings of inputs, by one pass."""
    said: list[Tensor] = []
    batch = (inputs, torch.empty(0))
    features = embedding(guided.network, lambda: said.append(task.outputs(guided.network, batch)), task.feature_layer)
    return said[0], F.normalize(guided.projector(features), dim=1)
