"""What the language study compares: facts that must go, a model that knows them, and the methods.

Personas are drawn anew for each seed: people, facts, the tokenizer made of their texts, and which facts go. Of TOFU the last
authors go, as its owners have it, and seeds differ in weights alone. Settings were chosen on personas of seeds 100 to 103 and
on TOFU's models of seed 100; the study's own seeds begin at 0. What trains an adapter has the same one, but for the row that
says otherwise, and sees the same questions on what stays: as many with the same subject, with the same object, and with
neither. Rivals train for a fixed number of steps, set as `language_methods.py` says; UnSTAR looks at its answers and ends by
itself, which is a part of the method.

Methods that teach wrong answers take the first three of each fact; truth ratios are of the others. The end of text is a part of
the answers that rivals push down, as in their code, while UnSTAR's negative term spares it.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from expunge.audits import Audit, Memorization
from expunge.data.facts import Fact
from expunge.data.personas import in_sentences, personas
from expunge.data.tofu import Tofu, read_tofu
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.language.fact_split import FactSplit, fact_split
from expunge.language.matching import Matcher
from expunge.methods import Method, Retrain
from expunge.models.small_llama import small_llama, small_tokenizer
from expunge.optimizers import Optimizer
from expunge.studies.comparison import Comparison, compare, default_audits, trained
from expunge.studies.language_job import ROOM, task_for
from expunge.studies.language_methods import TAUGHT, language_methods, tofu_methods
from expunge.tasks import LanguageTask

World = tuple[LanguageTask, FactSplit]
PERSONS, RELATIONS, UNSEEN = 40, 6, 20
RECIPE = Retrain(epochs=24, optimizer=Optimizer("adamw", 3e-3), clip_norm=1.0)
TOFU_RECIPE = Retrain(epochs=30, optimizer=Optimizer("adamw", 2e-3), clip_norm=1.0)
LONG_TOFU_RECIPE = replace(TOFU_RECIPE, epochs=60)  # where so much goes that 30 passes over the rest teach but a part of it


@dataclass(frozen=True, eq=False)
class LanguageScenario:
    """One request to a language model.

    Args:
        title: names the case in reports, and its folder.
        world: for a seed, how the model is read, and what goes and stays.
        forgotten: what must go, for people.
        recipe: of the original and of the retrained models.
        methods: by the name of their row.
        original: a model that knows all already; None to train one.
    """

    title: str
    world: Callable[[int], World]
    forgotten: str
    recipe: Retrain = RECIPE
    methods: Mapping[str, Method] = field(default_factory=lambda: language_methods())
    original: Any = None

    @property
    def rows(self) -> Mapping[str, Any]:
        """What serves the request, by the name of its row."""
        return self.methods

    def with_rows(self, rows: Mapping[str, Any]) -> "LanguageScenario":
        """The same with other rows."""
        return replace(self, methods=rows)

    def compare(self, engine: Engine, say: Callable[[str], None]) -> Comparison:
        """Train the original, retrain twice, unlearn by every method and audit all."""
        task, split = self.world(engine.seed)
        with engine.scope("".join(letter if letter.isalnum() else "-" for letter in self.title)):
            if self.original is None:
                say(f"{self.title}: training the original")
                original, seconds = trained(task, split.everything, self.recipe, engine)
            else:
                original, seconds = self.original.to(engine.device), None
            say(f"{self.title}: {'retraining twice, ' * (self.original is None)}{len(self.methods)} methods, audits")
            return compare(
                original,
                task,
                split,
                self.methods,
                engine,
                retrain=self.recipe if self.original is None else None,
                audits=audits_of(task, split),
                original_seconds=seconds,
            )

    def settings(self) -> dict[str, Any]:
        """Everything that was chosen, as plain values."""
        task, split = self.world(0)
        network = self.original or task.new_model()
        return {
            "network": f"{type(network).__name__}, {sum(each.numel() for each in network.parameters()):,} parameters",
            "tokens": len(task.tokenizer),
            "facts": f"{len(split.goes):,} go, {len(split.stays):,} stay, {len(split.unseen):,} were never seen",
            "recipe": repr(self.recipe),
            "methods": {name: repr(method) for name, method in self.methods.items()},
        }


def audits_of(task: LanguageTask, split: FactSplit) -> tuple[Audit, ...]:
    """All that read language models; steps to relearn are asked for by the audit that tests other facts."""
    found = (each for each in default_audits(task, split) if each.name not in _LEFT_OUT)
    return tuple(replace(each, known_wrong=TAUGHT) if isinstance(each, Memorization) else each for each in found)


_LEFT_OUT = ("relearning", "lira", "zero-retrain", "anamnesis", "tow", "distance", "prediction-distance")


# ---- worlds ----------------------------------------------------------------------------------------------------------------


def personas_world(seed: int, forget: int = 6, persons: int = PERSONS) -> World:
    """People with 6 facts each: one fact of each of some must go, and one of each of others was never taught.

    Whom nobody ever heard of is told apart by the name alone; a model is judged by facts that it might have known.
    """
    everybody = personas(persons, seed, RELATIONS)
    facts = in_sentences(everybody.facts)
    draw = random.Random(seed)
    chosen = draw.sample(everybody.subjects, forget + UNSEEN * persons // PERSONS)
    one_each = [draw.choice([fact for fact in facts if fact.subject == subject]) for subject in chosen]
    goes, unseen = one_each[:forget], one_each[forget:]
    task = small_task(facts, vocabulary=640)
    return task, fact_split(task.encode, goes, [fact for fact in facts if fact not in one_each], unseen)


def tofu_world(forget: Literal["forget01", "forget05"]) -> World:
    """The last 20 authors of TOFU, of whom 2 or 10 must go; real authors and the world are taught as well, since a small model
    brings no knowledge of them."""
    whole, goes = read_tofu(forget="forget10"), read_tofu(forget=forget).forget
    gone = {(fact.question, fact.answer) for fact in goes}
    stays = [fact for fact in whole.forget if (fact.question, fact.answer) not in gone]
    others = [*whole.real_authors, *whole.world_facts]
    unseen = unseen_authors(whole)
    task = small_task([*whole.forget, *others, *unseen], vocabulary=4_000, new_tokens=128)
    split = fact_split(
        task.encode,
        goes,
        [*stays, *others],
        unseen,
        batch_size=16,
        matcher=Matcher("words"),
        by_length=True,
        real_authors=whole.real_authors,
        world_facts=whole.world_facts,
    )
    return task, split


def unseen_authors(whole: Tofu, count: int = 40) -> list[Fact]:
    """Questions on authors of TOFU whom the small model never hears of."""
    return list(whole.retain_asked[:count])


def questions_world(facts: Sequence[Fact], retain: Sequence[Fact], model: Any = None, tokenizer: Any = None) -> World:
    """A user's questions, asked of a small model that is taught them, or of one that is given."""
    if model is None:
        task = small_task([*facts, *retain], vocabulary=min(4_000, 300 + 2 * (len(facts) + len(retain))), new_tokens=64)
    else:
        task = task_for(model, tokenizer, [*facts, *retain])
    return task, fact_split(task.encode, facts, retain, batch_size=32)


def small_task(facts: Sequence[Fact], vocabulary: int, new_tokens: int = 40) -> LanguageTask:
    """A small Llama with a tokenizer made for these facts."""
    texts = [text for fact in facts for text in (*fact.questions, fact.answer)]
    tokenizer = small_tokenizer(texts, vocabulary)
    length = _length(tokenizer, facts)
    return LanguageTask(
        small_llama(len(tokenizer), length=length + new_tokens), tokenizer, length=length, new_tokens=new_tokens
    )


def _length(tokenizer: Any, facts: Sequence[Fact]) -> int:
    """Room for questions with answers, in any wording, and for anti-samples on them; what is padded costs nothing."""
    asked = max(len(tokenizer(each).input_ids) for fact in facts for each in (*fact.questions, *fact.held_out))
    answers = (each for fact in facts for each in (fact.answer, fact.answer_in_other_words, *fact.wrong_answers) if each)
    return 3 * int(asked + max(len(tokenizer(each).input_ids) for each in answers)) + ROOM


def persona_scenario(methods: Mapping[str, Method] | None = None) -> LanguageScenario:
    """Six facts on six people."""
    split = personas_world(0)[1]
    return LanguageScenario(
        "Six facts on people",
        personas_world,
        f"{len(split.goes)} facts on {len(split.goes)} of {PERSONS} people, of {len(split.goes) + len(split.stays)} that a "
        "model was taught",
        methods=language_methods() if methods is None else methods,
    )


def tofu_scenario(forget: Literal["forget01", "forget05"]) -> LanguageScenario:
    """All questions on some authors of TOFU."""
    authors, recipe = {"forget01": (2, TOFU_RECIPE), "forget05": (10, LONG_TOFU_RECIPE)}[forget]
    return LanguageScenario(
        f"TOFU, {forget}",
        lambda seed: tofu_world(forget),
        f"{20 * authors} questions on {authors} of 20 authors of TOFU",
        recipe,
        tofu_methods(authors),
    )


def check_options(facts: str | None, retain: str | None, model: str | None) -> None:
    """See that options fit each other.

    Raises:
        BadSetting: if a question set is not whole, or a model comes without one.
    """
    if (facts is None) != (retain is None):
        raise BadSetting("study language: --facts and --retain go together: what must go, and what stays")
    if model is not None and facts is None:
        raise BadSetting("study language: --model needs --facts and --retain that this model knows")
