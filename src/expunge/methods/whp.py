"""WHP: answer as if it were asked about somebody else.

    min  mean KL( p_bar || p ) over the questions on what goes + retain_weight * loss on what stays
    p_bar_t = 1/N sum_n p_0( . | question and answer up to t, with another name for the subject's ), the name put back

p_0 is the model before; the N names are subjects of facts that stay. With one name this is the teacher of "Who's Harry Potter",
which knows wrong things; with many, that of the revision, which knows nothing in particular. It takes a name for one symbol:
where the answer names the subject, p_bar gives the first token of the subject's name the probability that p_0 gives the first
token of the other one, and the rest of the name follows for sure. Names may so be of different lengths in tokens.

What differs from the papers. They find all mentions of a subject, such as its family name alone, by a parser; here it counts
where it stands as the fact spells it. They train on documents, under a prompt that names the other subject; here on questions
that name it themselves. The first of them lowers the other name's logits later in a text, which the second dropped, and so do
we. Neither has a retain term (`retain_weight` 0). Of p_bar the 512 likeliest tokens are kept.

Reference: R. Eldan, M. Russinovich. "Who's Harry Potter? Approximate Unlearning in LLMs", 2023, arXiv 2310.02238; Y. Liu, Y.
Zhang, T. Jaakkola, S. Chang. "Revisiting Who's Harry Potter: Towards Targeted Unlearning from a Causal Intervention
Perspective", EMNLP 2024, arXiv 2407.16997.
Needs: facts with subjects to forget and to keep. Costs: `names` passes forward of the model before over the questions on what
goes, then `epochs` passes over them with as many retain batches.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import TensorDataset

from expunge.engine import Engine
from expunge.errors import BadRequest
from expunge.language.fact_split import FactSplit
from expunge.language.token_scores import MASKED
from expunge.methods.language_method import LanguageMethod, Reference
from expunge.split import Batches, Split
from expunge.tasks import LanguageTask, Task

_KEPT = 512  # tokens of a teacher's distribution: of 128,000 they hold nearly all of it, and fit into memory


class Asked(NamedTuple):
    """A question on a subject with its answer."""

    question: str
    answer: str
    subject: str

    def about(self, other: str) -> tuple[str, str]:
        """Question and answer with another name in the place of the subject's."""
        return self.question.replace(self.subject, other), self.answer.replace(self.subject, other)


@dataclass(frozen=True)
class WHP(LanguageMethod):
    """Follow a teacher who takes the subject for others.

    Args:
        names: N, of other subjects, at most.
    """

    names: int = 20

    splits = FactSplit
    why_not: ClassVar[str] = "it asks about other subjects than those of facts; say which with expunge.language.fact_split"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require(self.names >= 1, f"names must be 1 or more, not {self.names}")

    def forget_losses(self, model: nn.Module, batch: Any, task: LanguageTask, reference: Reference) -> Tensor:
        """Of a batch with the teacher's likeliest tokens and their probabilities, each of shape (n, T, k), beside it."""
        outputs = task.outputs(model, batch[:3])
        tokens, probabilities = (part[:, : outputs.shape[1]] for part in batch[3:5])
        return sparse_divergence(outputs, tokens, probabilities, (batch[2] != MASKED).sum(1))

    def unlearn(self, student: nn.Module, task: Task[Any], split: Split, engine: Engine) -> nn.Module:
        assert isinstance(task, LanguageTask) and isinstance(split, FactSplit)
        if self.epochs == 0:
            return student
        asked = [
            self._checked(Asked(question, fact.answer, fact.subject)) for fact in split.goes for question in fact.questions
        ]
        names = {subject: self._names(subject, split, engine) for subject in dict.fromkeys(each.subject for each in asked)}
        reference = Reference(student, self.lora)
        likeliest = [self._likeliest(each, names[each.subject], task, reference) for each in asked]
        columns = (pad_sequence(list(column), batch_first=True) for column in zip(*likeliest, strict=True))
        data = task.encode((question, answer) for question, answer, _ in asked)
        taught = Batches(TensorDataset(*data.tensors, *columns), self.batch_size)
        return super().unlearn(student, task, replace(split, forget=taught), engine)

    def _checked(self, asked: Asked) -> Asked:
        if asked.subject and asked.subject in asked.question:
            return asked
        what = f"does not name its subject {asked.subject!r}" if asked.subject else "is on a fact without a subject"
        raise BadRequest(
            f"{self.name}: the question {asked.question!r:.80} {what}, so that no other name can be put in its place; "
            "give facts subjects that their questions name, or take undial"
        )

    def _names(self, subject: str, split: FactSplit, engine: Engine) -> list[str]:
        """Other subjects to be asked about."""
        gone = {"", *(fact.subject for fact in split.goes)}
        others = list(dict.fromkeys(fact.subject for fact in split.stays if fact.subject not in gone))
        if not others:
            raise BadRequest(
                f"{self.name}: no fact that stays is on a subject of its own, so that none can stand for {subject!r}"
            )
        order = torch.randperm(len(others), generator=engine.generator("names", subject))
        return [others[place] for place in order[: self.names].tolist()]

    def _likeliest(self, asked: Asked, names: list[str], task: LanguageTask, reference: Reference) -> tuple[Tensor, Tensor]:
        """The teacher's likeliest tokens at each place of an answer and their probabilities, both of shape (T, k)."""
        others = Batches(task.encode(asked.about(name) for name in names), len(names))
        said = reference.ask(lambda model: task.collect(model, others)).softmax(2)
        mapped = [renamed(each, asked, name, task) for each, name in zip(said, names, strict=True)]
        alike = [each for each in mapped if each is not None]
        if not alike:
            raise BadRequest(
                f"{self.name}: the answer {asked.answer!r:.80} is told in other tokens with any other name; take undial"
            )
        probabilities, tokens = torch.stack(alike).mean(0).topk(min(_KEPT, said.shape[2]))
        return tokens, probabilities / probabilities.sum(1, keepdim=True)


def renamed(said: Tensor, asked: Asked, other: str, task: LanguageTask) -> Tensor | None:
    """What was said of an answer with another name in it, as of the answer itself.

    Args:
        said: probabilities before each token of the answer with the other name, and before its end, shape (T' or more, V).

    Returns:
        shape (T, V); None where the answer has other tokens in it around the other name.
    """
    own, its = ([*task.answer_tokens(text), task.tokenizer.eos_token_id] for text in (asked.answer, asked.about(other)[1]))
    own_names, its_names = _mentions(own, asked.subject, task), _mentions(its, other, task)
    if len(own_names) != len(its_names):
        return None
    result = torch.zeros(len(own), said.shape[1])
    place = there = 0
    ends = (range(len(own), len(own)), range(len(its), len(its)))
    for name, its_name in [*zip(own_names, its_names, strict=True), ends]:
        if own[place : name.start] != its[there : its_name.start]:
            return None
        result[place : name.start] = said[there : its_name.start]
        if name:
            first, its_first = own[name.start], its[its_name.start]
            result[name.start] = said[its_name.start]
            result[name.start, its_first] = 0
            result[name.start, first] += said[its_name.start, its_first]
            for later in name[1:]:
                result[later, own[later]] = 1
        place, there = name.stop, its_name.stop
    return result


def sparse_divergence(logits: Tensor, tokens: Tensor, probabilities: Tensor, counts: Tensor) -> Tensor:
    """KL(teacher || model) of a teacher who gives all probability to some tokens, mean over an answer's tokens.

    Args:
        logits: shape (n, T, V).
        tokens, probabilities: of the teacher, shape (n, T, k); of no probability where there is no answer token.
        counts: tokens of each answer, shape (n,).

    Returns:
        shape (n,), in nats per token.

    >>> two, halves = torch.tensor([[[0, 1]]]), torch.tensor([[[0.5, 0.5]]])
    >>> sparse_divergence(torch.zeros(1, 1, 4), two, halves, torch.tensor([1])).round(decimals=4)  # log 4/2
    tensor([0.6931])
    """
    ours = logits.log_softmax(2).gather(2, tokens)
    return -(torch.special.entr(probabilities) + probabilities * ours).sum((1, 2)) / counts


def _mentions(tokens: Sequence[int], name: str, task: LanguageTask) -> list[range]:
    """The places of the tokens of each mention of a name."""
    texts = [task.tokenizer.decode(tokens[:stop], clean_up_tokenization_spaces=False) for stop in range(len(tokens) + 1)]
    found, at = [], texts[-1].find(name)
    while at >= 0:
        stop = at + len(name)
        inside = [place for place in range(len(tokens)) if len(texts[place]) < stop and len(texts[place + 1]) > at]
        found.append(range(inside[0], inside[-1] + 1))
        at = texts[-1].find(name, stop)
    return found
