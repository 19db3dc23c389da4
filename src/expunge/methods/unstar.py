"""UnSTAR: unlearning by self-taught anti-samples, STaR turned round.

A round asks the model every question on a fact. What it still answers becomes an anti-sample: the question q, a wrong answer
a^- and, if wanted, a reason r why that should be right. The model is trained on all anti-samples so far, and on what stays:

    min  mean -log p(a^- r | q)  +  retain_weight * mean_{stays} -log p(a | q)
         + negative * mean_t -(2 / beta) log sigmoid( beta * (L_t(a | q) - L_t,0(a | q)) )

Facts whose questions are all answered otherwise are asked in new words. Rounds end when no question of any fact is answered,
and what stays is: a sample of it is asked as well.

The first line is the paper's (`UnSTAR.published()`). It overwrites what the model says first and leaves the true answer a
close second, which a little training on other facts brings back. The second line, NPO on the true answer, is ours. L_t is the
negative log-likelihood of a stretch of tokens that tells the answer from wrong ones: of whole sentences it would unlearn how
sentences are made. It acts while L_t < `level` for each word of the stretch, so that what is told becomes unlikely, not
unlikelier than what nobody ever said; and on each stretch, so that none is left for another to have become unlikely.

Where prose, algorithm and code of the paper disagree: a question is done when the answer is not the true one (not when it is
the false one); rounds end when nothing is known (not after so many questions); facts are trained together, so that a later one
does not bring back an earlier; labels stand on answers alone; what stays is trained on in each step (the code has none of it).

Reference: Y. Sinha, M. Mandal, M. Kankanhalli. "UnSTAR: Unlearning with Self-Taught Anti-Sample Reasoning for LLMs", TMLR 2025,
arXiv 2410.17050.
Needs: facts to forget and to keep, and a generator of anti-samples. Costs: for each round an answer to each question, and
`epochs` passes over the anti-samples with as many retain batches.

What comes out asserts falsehoods, unless `wrong_answers` is "refusal": take that for people who live.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import TensorDataset

from expunge.data.facts import Fact
from expunge.engine import Engine, on_device_of
from expunge.errors import BadRequest
from expunge.language.anti_samples import AntiSamples, Policy
from expunge.language.fact_split import FactSplit
from expunge.language.generators import Generator
from expunge.language.refusals import refuses
from expunge.language.telling import by_stretch, stretches, telling_tokens, words_in
from expunge.language.token_scores import MASKED, token_log_probabilities
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.methods.npo import negative_preference
from expunge.modes import evaluating
from expunge.split import Batches, Pair, Split, paired
from expunge.tasks import LanguageTask, Task

Asked = tuple[Fact, str]  # a fact, and a question on it
_REACHED = 2 / 3  # of the level, below which an answer counts as known: training hovers about the level
_SAMPLE = 60  # facts that stay, to be asked in each round


@dataclass(frozen=True)
class UnSTAR(LanguageMethod):
    """Anti-samples, round by round, until nothing is known.

    Args:
        epochs: passes over the anti-samples in each round.
        rounds: at most; the last one's answers are not looked at.
        questions: other phrasings of each fact to begin with; as many new ones come later, where there are more.
        wrong: wrong answers of each fact.
        wrong_answers: from the "pool" of them one for each question; one for each fact, "consistent"; or a "refusal",
            and then rounds go on until the model refuses.
        rationale: give a reason with each wrong answer.
        negative: weight of NPO on the true answer; 0 for the paper's method.
        beta: of NPO, > 0.
        level: nats for each word; NPO leaves stretches of an answer alone that are that unlikely. 3 nats are 5 %.
        keep: share of a sample of what stays, half of it near, that must be answered as before for rounds to end; 0 to not ask.
        generator: "auto" takes phrasings and wrong answers from the facts and makes those that they lack by templates;
            "fields", "templates" or "model" take one of these, or the model itself before unlearning; or any generator.
    """

    epochs: int = 6
    retain_weight: float = 3.0
    rounds: int = 8
    questions: int = 3
    wrong: int = 20
    wrong_answers: Policy = "pool"
    rationale: bool = False
    negative: float = 1.0
    beta: float = 0.1
    level: float = 3.0
    keep: float = 0.97
    generator: Literal["auto", "fields", "templates", "model"] | Generator = "auto"

    splits = FactSplit
    why_not: ClassVar[str] = "it asks questions on facts; say which with expunge.language.fact_split"
    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "arbitrary_types_allowed": True}

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("rounds", 1), ("questions", 0), ("wrong", 1)):
            self.require(getattr(self, name) >= least, f"{name} must be {least} or more, not {getattr(self, name)}")
        self.require(self.negative >= 0, f"negative must be 0 or more, not {self.negative}")
        self.require(self.beta > 0, f"beta must be above 0, not {self.beta}")
        self.require(self.level > 0, f"level must be above 0, not {self.level}")
        self.require(0 <= self.keep <= 1, f"keep must lie between 0 and 1, not {self.keep}")

    @classmethod
    def published(cls, **settings: Any) -> "UnSTAR":
        """The paper's method with what stays: rationales, a wrong answer for each question, no negative term."""
        return cls(
            **{"rationale": True, "wrong_answers": "pool", "negative": 0.0, "retain_weight": 1.0, "keep": 0.0, **settings}
        )

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """Of anti-samples, without the negative term: shape (n,)."""
        return task.losses(task.outputs(model, batch), batch)

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        if self.epochs == 0:
            return student
        rounds = _Rounds(self, student, task, split, engine)
        for number in range(self.rounds):
            if rounds.are_over(number):
                break
            rounds.train(f"round-{number + 1}")
        return student


class _Rounds:
    """One request under way."""

    def __init__(self, method: UnSTAR, student: nn.Module, task: LanguageTask, split: FactSplit, engine: Engine) -> None:
        self.method, self.student, self.task, self.split, self.engine = method, student, task, split, engine
        self.reference = Reference(student, method.lora)
        self.anti = AntiSamples.of(method, task, split, engine, student)
        self.asked = [(fact, each) for fact in split.goes for each in self.anti.first_questions(fact, method.questions)]
        self.samples: dict[Asked, str] = {}
        self.likelihoods: dict[Asked, Tensor] = {}  # losses of the stretches of true answers that tell, by the model before
        self.stays = self._sample() if method.keep else []

    def are_over(self, number: int) -> bool:
        """Ask everything; make anti-samples of what is known."""
        known = self._known(self.asked)
        if number == 0:
            self._begin(known)
        elif not known:
            fresh = [
                (fact, each)
                for fact in self.split.goes
                for each in self.anti.new_questions(fact, self.method.questions, number)
            ]
            self.asked += fresh
            known = self._known(fresh)
        kept = None if known and number else len(self._answered(self.stays))  # it is asked where it may end the rounds
        self._note(number, known, kept)
        if kept is not None and not known and kept >= self.method.keep * len(self.stays):
            return True
        self.samples |= {each: self.anti.answer(*each) for each in known}
        return False

    def train(self, name: str) -> None:
        """One round, on all anti-samples so far."""
        method, task = self.method, self.task
        data = TensorDataset(*task.encode((question, anti) for (_, question), anti in self.samples.items()).tensors)
        if method.negative:
            data = TensorDataset(*data.tensors, *self._true_answers().tensors)
        stream = paired(self.split.batches(data, method.batch_size), method.replay(self.split), "forget")
        self.engine.fit(
            self.student,
            self._loss,
            stream,
            epochs=method.epochs,
            optimizer=method.optimizer,
            schedule=method.schedule,
            name=name,
        )

    def _loss(self, model: nn.Module, pair: Pair) -> dict[str, Tensor]:
        method, task, forget = self.method, self.task, pair.forget
        parts = [forget[:3]]
        parts += [forget[3:6]] if method.negative else []
        parts += [pair.retain] if method.retain_weight else []
        said = task.together(model, parts)
        terms = {"anti": task.losses(said[0], parts[0])}
        if method.negative:
            now, most = self._losses_of_stretches(said[1], forget[3:])
            terms["negative"] = method.negative * self._negative(now, most, forget[8][:, : now.shape[1]])
        if method.retain_weight:
            terms["retain"] = method.retain_weight * task.losses(said[-1], parts[-1])
        return terms

    def _negative(self, now: Tensor, most: Tensor, before: Tensor) -> Tensor:
        """NPO on each stretch that is likelier than it need be, mean over the stretches of an answer: shape (n,)."""
        acts = (now.detach() < most) & (most > 0)
        each = negative_preference(-now, -before, self.method.beta) * acts
        return each.sum(1) / (most > 0).sum(1)

    def _losses_of_stretches(self, outputs: Tensor, told: Any) -> tuple[Tensor, Tensor]:
        """Of each stretch of a true answer its negative log-likelihood, and how high it need be, both in nats: shape (n, K);
        zeros where an answer has less."""
        numbers = self.task.at_answers(told[3], told[:3])
        each = token_log_probabilities(outputs, self.task.answers(told[:3]))
        most = self.method.level * by_stretch(self.task.at_answers(told[4], told[:3]), numbers)
        return -by_stretch(each, numbers), most

    def _true_answers(self) -> TensorDataset:
        """Beside the anti-samples: their questions with the true answers, what tells in them, and how likely that was."""
        data = self._told(self.samples)
        new = [each for each in self.samples if each not in self.likelihoods]
        if new:
            found = self.reference.ask(lambda model: self._read_stretches(model, self._told(new))[0])
            self.likelihoods |= dict(zip(new, found, strict=True))
        before = pad_sequence([self.likelihoods[each] for each in self.samples], batch_first=True)
        return TensorDataset(*data.tensors, before)

    def _told(self, asked: Iterable[Asked]) -> TensorDataset:
        """Questions with their true answers; the stretch that each token is in, and its share of the words there."""
        asked = list(asked)
        data = self.task.encode((question, fact.answer) for fact, question in asked)
        numbers, words = torch.zeros_like(data.tensors[2]), torch.zeros(data.tensors[2].shape)
        for row, (fact, _) in enumerate(asked):
            tokens = self.task.answer_tokens(fact.answer)
            wrong = [self.task.answer_tokens(each) for each in self.anti.wrong_answers(fact)]
            found = stretches(telling_tokens(tokens, wrong))
            shares = words_in(tokens, found, self.task.tokenizer.decode)
            answer = data.tensors[2][row] != MASKED  # the end of text, its last token, tells nothing
            numbers[row, answer], words[row, answer] = torch.tensor([*found, 0]), torch.tensor([*shares, 0.0])
        return TensorDataset(*data.tensors, numbers, words)

    def _read_stretches(self, model: nn.Module, data: TensorDataset) -> tuple[list[Tensor], Tensor]:
        """Of each question the losses of its stretches, and the share of what they need be that is reached: shape (n,)."""
        losses, reached = list[Tensor](), list[Tensor]()
        with evaluating(model):
            for batch in Batches(data, 4 * self.method.batch_size):
                placed = on_device_of(model, batch)
                now, most = self._losses_of_stretches(self.task.outputs(model, placed[:3]), placed)
                losses += now.cpu().unbind()
                reached.append((now.minimum(most).sum(1) / most.sum(1)).cpu())
        return losses, torch.cat(reached)

    def _sample(self) -> list[Asked]:
        """Questions on what stays: half of them near what goes, where there are so many, and others."""
        near = [*self.split.near("same subject"), *self.split.near("same object")]
        far = self.split.near("other")
        chosen = [*spread(near, max(_SAMPLE // 2, _SAMPLE - len(far))), *spread(far, max(_SAMPLE // 2, _SAMPLE - len(near)))]
        return [(fact, fact.question) for fact in chosen]

    # ---- asking ---------------------------------------------------------------------------------------------------

    def _known(self, asked: Sequence[Asked]) -> list[Asked]:
        """The questions that the model still answers, or whose true answer it finds too likely, or where it should refuse and
        does not."""
        if not asked:
            return []
        said = self.task.answer(self.student, [question for _, question in asked])
        known = [self.split.known(fact, each.text) for (fact, _), each in zip(asked, said, strict=True)]
        if self.samples and self.method.wrong_answers == "refusal":
            known = [still or not refuses(each.text) for still, each in zip(known, said, strict=True)]
        if self.method.negative:
            with torch.no_grad():
                reached = self._read_stretches(self.student, self._told(asked))[1]
            known = [still or share < _REACHED for still, share in zip(known, reached.tolist(), strict=True)]
        return [each for each, still in zip(asked, known, strict=True) if still]

    def _answered(self, asked: Sequence[Asked]) -> list[Asked]:
        """The questions on what stays that the model answers."""
        said = self.task.answer(self.student, [question for _, question in asked])
        return [each for each, answer in zip(asked, said, strict=True) if self.split.known(each[0], answer.text)]

    def _begin(self, known: Sequence[Asked]) -> None:
        if not known:
            raise BadRequest(
                f"{self.method.name}: the model answers none of the {len(self.asked):,} questions on "
                f"{len(self.split.goes):,} facts as they are to be forgotten, so nothing was changed; check answers and "
                "questions, or the matcher"
            )
        self.stays = self._answered(self.stays)  # what it never knew can't be kept

    def _note(self, number: int, known: Sequence[Asked], kept: int | None) -> None:
        """Progress, for the history: what was asked, and what is still known."""
        row = {
            "round": number,
            "asked": len(self.asked),
            "known": len(known),
            "facts": len(self.split.goes),
            "known_facts": len({fact for fact, _ in known}),
            "stays": len(self.stays),
            "kept": kept,
        }
        self.engine.history.append(row)


def spread(facts: Sequence[Fact], count: int) -> list[Fact]:
    """Up to `count` of some facts, evenly from the first to the last.

    >>> spread("abcdef", 3)
    ['a', 'c', 'e']
    """
    return [facts[place * len(facts) // count] for place in range(count)] if count < len(facts) else list(facts)
