"""A job on a language model: facts that must go, from files of facts to a folder with an adapter and what was said.

task: language
model: mistral-7b                              # a folder in Hugging Face's layout
facts: facts.jsonl                             # JSON lines with question, answer, and what else a Fact has
retain: retain.jsonl
methods: [unstar]                              # or {method: unstar, generator: {url: http://localhost:8000/v1, model: mistral}}
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field
from torch import nn

from expunge.data.facts import Fact, read_facts
from expunge.errors import BadSetting, WrongTask
from expunge.language.fact_split import FactSplit, fact_split
from expunge.language.matching import Kind, Matcher
from expunge.methods import METHODS, Method
from expunge.models.pretrained import longest_text, read_language_model, same_architecture
from expunge.registry import find
from expunge.studies.fields import Fault, Settings, method_of, read_fields, read_mapping
from expunge.studies.job import EngineSettings, Job, read_job
from expunge.tasks import LanguageTask

ROOM = 192  # tokens: what is padded costs nothing, and a reason that does not fit would end the run
_LEAST_SAID = 32  # tokens of an answer: a model may say a few words before it comes to the point


class _Fields(Settings):
    """The file's top level."""

    task: Literal["language"]
    title: str = ""
    seed: int = 0
    model: Path
    facts: Path
    retain: Path
    unseen: Path | None = None
    matcher: Kind = "exact"
    methods: list[Any] = Field(default_factory=lambda: ["unstar"], min_length=1)
    engine: EngineSettings = Field(default_factory=EngineSettings)  # type: ignore[arg-type]


@dataclass(frozen=True)
class LanguageJob:
    """A checked job.

    Args:
        title: for the report's head.
        model: a folder in Hugging Face's layout.
        facts: file of what must go.
        retain: file of what stays, or of a part of it.
        unseen: file of facts like these that the model was never trained on.
        matcher: how closely an answer must be there to count as known.
        methods: by row name; the first one's model is delivered.
        text: the job as YAML.
        source: what errors call it.
    """

    title: str
    seed: int
    model: Path
    facts: Path
    retain: Path
    unseen: Path | None
    matcher: Matcher
    methods: Mapping[str, Method]
    engine: EngineSettings
    text: str
    source: str = field(default="job", compare=False)


@dataclass(frozen=True)
class LanguageSetup:
    """What a job works on, read and checked."""

    model: nn.Module
    task: LanguageTask
    split: FactSplit


def read_any_job(path: str | Path) -> Job | LanguageJob:
    """Read and check a job file of any kind.

    Raises:
        BadJob: naming file, line and field.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return read_job(path)  # which says what is wrong
    language = isinstance(content, dict) and content.get("task") == "language"
    return parse_language_job(text, str(path)) if language else read_job(path)


def parse_language_job(text: str, source: str = "job") -> LanguageJob:
    """Check a job given as YAML text; `source` is what errors call it.

    Raises:
        BadJob: naming file, line and field.
    """
    return read_mapping(text, source, "task, model, facts and retain", lambda content: _checked(content, text, source))


def _checked(content: dict[str, Any], text: str, source: str) -> LanguageJob:
    given = read_fields(_Fields, content, ())
    methods: dict[str, Method] = {}
    for index, entry in enumerate(given.methods):
        name, method = method_of(entry, ("methods", index), None)
        if name in methods:
            raise Fault(("methods", index), f"a second method is called '{name}'; give it another label")
        methods[name] = method
    return LanguageJob(
        title=given.title,
        seed=given.seed,
        model=given.model,
        facts=given.facts,
        retain=given.retain,
        unseen=given.unseen,
        matcher=Matcher(given.matcher),
        methods=methods,
        engine=given.engine,
        text=text,
        source=source,
    )


def methods_with(names: Iterable[str], generator: Any = None, refuse: bool = False) -> list[dict[str, Any]]:
    """Methods by name for a job, with one generator of anti-samples, and refusing instead of lying, where they can.

    Args:
        generator: its name, or a mapping with the address of a server and the model's name there; None for each method's own.
        refuse: teach the model to say that it doesn't know.

    Raises:
        BadSetting: if there is no such method, or none of them takes what is given.
    """
    given = {"generator": generator} if generator is not None else {}
    given |= {"wrong_answers": "refusal"} if refuse else {}
    found: list[dict[str, Any]] = [{"method": name} for name in names]
    taken: set[str] = set()
    for entry in found:
        known = _settings_of(find(METHODS, entry["method"], "method"))
        entry |= {name: value for name, value in given.items() if name in known}
        taken |= known
    for name, option in (("generator", "--generator"), ("wrong_answers", "--refuse")):
        if name in given and name not in taken:
            able = [key for key, kind in METHODS.items() if name in _settings_of(kind)]
            raise BadSetting(f"{option} is for {', '.join(able)}, not for {', '.join(names)}")
    return found


def _settings_of(kind: Any) -> set[str]:
    return {each.name for each in fields(kind)}


def prepare(job: LanguageJob) -> LanguageSetup:
    """Read facts and model; every fault in them is raised here, before any training.

    Raises:
        BadFile: if a file of facts or the folder of the model is not what it should be.
        BadRequest: if a fact is to be forgotten and to stay.
        BadSetting: if a question with its answer is longer than the model can read.
        WrongTask: if a method does not work on language models.
    """
    goes, stays = read_facts(job.facts), read_facts(job.retain)
    unseen = read_facts(job.unseen) if job.unseen else []
    for name, method in job.methods.items():
        if not any(issubclass(LanguageTask, kind) for kind in method.takes):
            raise WrongTask(f"{name} does not work on language models; `expunge methods` lists those that do")
    model, tokenizer = read_language_model(job.model)
    task = task_for(model, tokenizer, [*goes, *stays, *unseen])
    split = fact_split(task.encode, goes, stays, unseen, matcher=job.matcher)
    for method in job.methods.values():
        method.check(task, split)
    return LanguageSetup(model, task, split)


def task_for(model: nn.Module, tokenizer: Any, facts: Iterable[Fact]) -> LanguageTask:
    """A task with room for some facts, and for anti-samples on them, which are longer, as far as the model reads.

    Raises:
        BadSetting: if the longest question with its answer is longer than the model can read.
    """
    factory, facts = same_architecture(model), list(facts)
    task = LanguageTask(factory, tokenizer)
    asked = max(len(task.prompt(question)) for fact in facts for question in (*fact.questions, *fact.held_out))
    said = max(len(task.answer_tokens(answer)) for fact in facts for answer in _answers(fact)) + 1  # and the end of text
    most = longest_text(model) or 3 * (asked + said) + ROOM
    if asked + said > most:
        raise BadSetting(f"the longest question with its answer takes {asked + said:,} tokens, and the model reads {most:,}")
    length = min(3 * (asked + said) + ROOM, most)
    return LanguageTask(factory, tokenizer, length=length, new_tokens=min(max(2 * said, _LEAST_SAID), most - asked))


def _answers(fact: Fact) -> list[str]:
    return [answer for answer in (fact.answer, fact.answer_in_other_words, *fact.wrong_answers) if answer]
