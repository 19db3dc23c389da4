"""Writes the pages that follow from the code: one for each method, for each audit and for each part of the API."""

import inspect
import re
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import griffe
import mkdocs_gen_files

from expunge.audits import AUDITS
from expunge.methods import METHODS
from expunge.models import MODELS
from expunge.registry import Registered
from expunge.tasks import Task

sys.path.append(str(Path(__file__).parent))
from docstrings import as_markdown

API = {
    "forget and audit": ("expunge.forget", "expunge.studies.Result", "expunge.audit", "expunge.audits.Figure"),
    "Advice": ("expunge.studies.advise", "expunge.studies.Advice", "expunge.report.closeness.closeness"),
    "Split": ("expunge.Split", "expunge.split.Batches", "expunge.split.paired", "expunge.data.split_by"),
    "Engine": ("expunge.Engine", "expunge.optimizers.Optimizer"),
    "Tasks": (
        "expunge.tasks.ClassificationTask",
        "expunge.tasks.RegressionTask",
        "expunge.tasks.LinkPredictionTask",
        "expunge.tasks.NodeClassificationTask",
        "expunge.tasks.RecommendationTask",
        "expunge.tasks.LanguageTask",
        "expunge.tasks.DiffusionTask",
        "expunge.tasks.Task",
    ),
    "Graphs": (
        "expunge.graphs.Graph",
        "expunge.graphs.LinkBatches",
        "expunge.graphs.NodeBatches",
        "expunge.data.load_graph",
        "expunge.data.from_pyg",
        "expunge.data.GraphSource",
        "expunge.data.split_links",
        "expunge.data.split_nodes",
        "expunge.models.build_for_graph",
        "expunge.models.gnn.GNN",
    ),
    "Recommenders": (
        "expunge.interactions.Interactions",
        "expunge.interactions.Removal",
        "expunge.interactions.PairBatches",
        "expunge.data.load_interactions",
        "expunge.data.InteractionSource",
        "expunge.data.InteractionSplit",
        "expunge.data.split_interactions",
        "expunge.models.recommenders.build_recommender",
        "expunge.models.recommender.Recommender",
        "expunge.studies.serving.export_index",
        "expunge.studies.serving.check_index",
    ),
    "Diffusion models": (
        "expunge.diffusion.Concepts",
        "expunge.diffusion.prompted",
        "expunge.diffusion.numbered",
        "expunge.diffusion.token_encoder",
        "expunge.diffusion.NoisedImages",
        "expunge.diffusion.ConceptSplit",
        "expunge.diffusion.concept_split",
        "expunge.diffusion.Sampling",
        "expunge.diffusion.seeds_for",
        "expunge.models.text_to_image.Denoiser",
        "expunge.models.text_to_image.small_text_to_image",
        "expunge.models.text_to_image.small_clip_tokenizer",
        "expunge.models.pipelines.Pipeline",
        "expunge.models.pipelines.read_pipeline",
        "expunge.models.pipelines.write_pipeline",
        "expunge.models.pipelines.check_same",
        "expunge.studies.concealment_run.audit_pipeline",
        "expunge.audits.concealment.partial_diffusion_attack",
        "expunge.audits.concealment.handed_over",
        "expunge.audits.concealment.verdict",
        "expunge.diffusion.scores.ccs",
        "expunge.diffusion.scores.crs",
        "expunge.diffusion.scores.area_under",
        "expunge.diffusion.scores.half_recovered",
        "expunge.diffusion.recognizers.Recognizer",
        "expunge.diffusion.recognizers.recognizer_of",
    ),
    "Language models": (
        "expunge.language.Fact",
        "expunge.language.read_facts",
        "expunge.language.FactSplit",
        "expunge.language.fact_split",
        "expunge.language.Matcher",
        "expunge.language.LoRA",
        "expunge.language.merged",
        "expunge.language.save_adapter",
        "expunge.language.load_adapter",
        "expunge.language.Generator",
        "expunge.language.FieldGenerator",
        "expunge.language.TemplateGenerator",
        "expunge.language.ModelGenerator",
        "expunge.language.ServerGenerator",
        "expunge.language.CachedGenerator",
        "expunge.models.pretrained.read_language_model",
        "expunge.models.pretrained.write_language_model",
        "expunge.data.personas.personas",
        "expunge.data.tofu.read_tofu",
    ),
    "Requests in sequence": (
        "expunge.studies.sequences.forgetting.forget_in_sequence",
        "expunge.studies.sequences.forgetting.RetrainRule",
        "expunge.studies.sequences.forgetting.SequenceHistory",
        "expunge.studies.sequences.forgetting.Served",
        "expunge.studies.sequences.requests.RequestSequence",
        "expunge.studies.sequences.requests.rows_in_sequence",
        "expunge.studies.sequences.requests.drawn_rows",
        "expunge.studies.sequences.requests.links_in_sequence",
        "expunge.studies.sequences.requests.nodes_in_sequence",
        "expunge.studies.sequences.requests.interactions_in_sequence",
        "expunge.studies.sequences.requests.facts_in_sequence",
        "expunge.studies.sequences.requests.clients_in_sequence",
        "expunge.studies.sequences.drift.drifts",
    ),
    "Shards": ("expunge.sisa.ShardedTraining", "expunge.sisa.ShardedModel", "expunge.sisa.Work"),
    "Statistics": (
        "expunge.statistics.bootstrap",
        "expunge.statistics.paired",
        "expunge.statistics.equivalence",
        "expunge.statistics.holm",
        "expunge.statistics.seeds_needed",
        "expunge.statistics.examples_needed",
        "expunge.statistics.models_needed",
    ),
    "Attacks with shadow models": (
        "expunge.audits.shadows.training.ShadowSet",
        "expunge.audits.shadows.examples.examples_of",
        "expunge.audits.shadows.examples.Examples",
        "expunge.audits.shadows.batched.train_batched",
        "expunge.audits.shadows.scores.lira_online",
        "expunge.audits.shadows.scores.lira_offline",
        "expunge.audits.shadows.scores.rmia",
        "expunge.audits.shadows.distributions.epsilon_per_example",
        "expunge.audits.shadows.distributions.forgetting_quality",
        "expunge.audits.shadows.distributions.klom",
        "expunge.audits.ulira.u_lira",
        "expunge.studies.repeated.repeated",
        "expunge.studies.repeated.Repeated",
    ),
    "Synthetic tables": (
        "expunge.tabular.TabSynDex",
        "expunge.tabular.Score",
        "expunge.tabular.Reference",
        "expunge.tabular.Comparison",
        "expunge.tabular.TableSchema",
        "expunge.tabular.schema.ColumnSchema",
        "expunge.tabular.ScoreMonitor",
        "expunge.tabular.Generator",
        "expunge.tabular.IndependentColumns",
        "expunge.tabular.Bootstrap",
        "expunge.tabular.SMOTE",
        "expunge.tabular.GaussianCopula",
        "expunge.tabular.TVAE",
        "expunge.tabular.CTGAN",
        "expunge.tabular.WGANGP",
        "expunge.tabular.TabDDPM",
        "expunge.tabular.measures.measure",
        "expunge.tabular.measures.Measures",
        "expunge.tabular.measures.Privacy",
    ),
    "Light networks": (
        "expunge.search.CellSpace",
        "expunge.search.search",
        "expunge.search.Found",
        "expunge.search.Genotype",
        "expunge.search.PCDarts",
        "expunge.search.Darts",
        "expunge.search.GDAS",
        "expunge.search.RandomSearch",
        "expunge.search.ZeroCost",
        "expunge.search.Recipe",
        "expunge.search.retrain",
        "expunge.search.train",
        "expunge.search.cost_report",
        "expunge.search.expected_cost",
        "expunge.search.draw",
        "expunge.search.export_onnx",
        "expunge.search.register_operation",
        "expunge.search.faces.dynamic_image",
        "expunge.search.faces.coefficients",
        "expunge.search.faces.person_folds",
        "expunge.search.faces.leave_one_person_out",
        "expunge.search.faces.check_folds",
        "expunge.search.faces.pooled_scores",
        "expunge.search.faces.Augmentation",
        "expunge.search.faces.FaceSet",
        "expunge.search.faces.read_fer2013",
        "expunge.search.faces.read_raf_db",
        "expunge.search.faces.read_ck_plus",
        "expunge.search.faces.read_micro",
        "expunge.search.faces.read_london",
        "expunge.search.faces.SyntheticMicroExpressions",
        "expunge.search.faces.MicroSettings",
        "expunge.search.faces.control_scores",
    ),
    "Federations": (
        "expunge.federated.Contributions",
        "expunge.federated.Snapshot",
        "expunge.federated.tracking.TrackingFedAvg",
        "expunge.federated.Federation",
        "expunge.federated.client_split.leave",
        "expunge.federated.client_split.ClientSplit",
        "expunge.federated.history.History",
        "expunge.federated.dirichlet",
        "expunge.federated.pathological",
        "expunge.federated.iid",
        "expunge.federated.attackers.backdoored",
        "expunge.federated.attackers.flipped",
    ),
    "Streams": (
        "expunge.continual.RequestStream",
        "expunge.continual.Learn",
        "expunge.continual.Unlearn",
        "expunge.continual.Lesson",
        "expunge.continual.ReplayBuffer",
        "expunge.continual.run",
        "expunge.continual.Served",
        "expunge.continual.StreamHistory",
        "expunge.continual.ContinualLearner",
        "expunge.continual.UniCLUN",
        "expunge.continual.Rehearsal",
        "expunge.continual.OnlineEWC",
        "expunge.continual.LwF",
        "expunge.continual.CLPU",
        "expunge.continual.Joint",
        "expunge.continual.stream_split.as_split",
    ),
    "Methods and audits": (
        "expunge.methods.Method",
        "expunge.audits.Audit",
        "expunge.audits.Subject",
        "expunge.audits.References",
    ),
    "Requests": ("expunge.requests",),
    "Data": (
        "expunge.data.load",
        "expunge.data.read_schema",
        "expunge.data.Source",
        "expunge.data.Target",
        "expunge.data.Records",
        "expunge.data.available",
    ),
    "Models": ("expunge.models.build", *(f"expunge.models.{model.__name__}" for model in MODELS.values())),
    "Errors": ("expunge.errors",),
}


def write(path: str, text: str, section: str, mode: str = "w") -> None:
    """Write a page, and put it into its section of the navigation."""
    with mkdocs_gen_files.open(path, mode) as page:
        page.write(text)
    pages = next(entry[section] for entry in mkdocs_gen_files.config.nav if section in entry)
    if path not in pages:
        pages.append(path)


def about(kind: type[Registered]) -> str:
    """The text of a class's module; its formulas are indented, which makes them blocks of code."""
    text = as_markdown(inspect.cleandoc(sys.modules[kind.__module__].__doc__ or ""))
    return re.sub(r"\n(?=(Reference|Needs|Costs): )", "\n\n", text)


def settings(kind: Any) -> str:
    """The fields of a dataclass as a table."""
    if not fields(kind):
        return "None.\n"
    docstring = griffe.Docstring(as_markdown(inspect.cleandoc(kind.__doc__)))
    sections = griffe.parse_google(docstring, warnings=False)
    described = {
        each.name: " ".join(each.description.split())
        for section in sections
        if section.kind is griffe.DocstringSectionKind.parameters
        for each in section.value
    }
    rows = [
        f"| `{field.name}` | `{annotation(field)}` | {default(field)} | {described.get(field.name, '')} |"
        for field in fields(kind)
    ]
    return "\n".join(["| field | type | default | meaning |", "|---|---|---|---|", *rows]) + "\n"


def annotation(field: Any) -> str:
    """The type as one would write it in Python."""
    return field.type.__name__ if isinstance(field.type, type) else inspect.formatannotation(field.type)


def default(field: Any) -> str:
    """The default as one would write it in Python."""
    return "" if field.default is MISSING else f"`{field.default!r}`"


def introduction(kind: Any) -> str:
    """The text of a class's docstring above its arguments."""
    return as_markdown(inspect.cleandoc(kind.__doc__)).partition("\nArgs:")[0].strip()


def method_page(kind: Any) -> str:
    """All about one method."""
    stays = "It needs retained data." if kind.needs_retain else "It needs no retained data."
    return f"""# {kind.name}

{about(kind)}

In Python: `expunge.methods.{kind.__name__}`. Works on {works_on(kind)}. {stays}

## Settings

{introduction(kind)}

{settings(kind)}"""


def audit_page(kind: Any) -> str:
    """All about one audit."""
    rows = []
    for metric, sentence in kind.figures.items():
        meaning, _, ideal = sentence.partition("; ideal: ")
        rows.append(f"| `{metric}` | {meaning} | {ideal} |")
    figures = "\n".join(["| figure | meaning | ideal |", "|---|---|---|", *rows])
    return f"""# {kind.name}

{about(kind)}

In Python: `expunge.audits.{kind.__name__}`. Works on {works_on(kind)}.

## Figures

{figures}

## Settings

{introduction(kind)}

{settings(kind)}"""


def works_on(kind: Any) -> str:
    """The kinds of task that a method or an audit takes."""
    return " and ".join("every task" if task is Task else f"`{task.__name__}`" for task in kind.takes)


def listing(folder: str, kinds: dict[str, Any]) -> str:
    """A table with a link to each page."""
    rows = [f"| [{name}]({folder}/{name}.md) | {kind.summary()} |" for name, kind in kinds.items()]
    return "\n".join(["", "| name | what it is |", "|---|---|", *rows]) + "\n"


write("methods.md", listing("methods", METHODS), "Methods", mode="a")
for name, kind in METHODS.items():
    write(f"methods/{name}.md", method_page(kind), "Methods")

write("audits.md", listing("audits", AUDITS), "Audits", mode="a")
for name, kind in AUDITS.items():
    write(f"audits/{name}.md", audit_page(kind), "Audits")

for title, objects in API.items():
    page = "\n\n".join([f"# {title}", *(f"::: {name}" for name in objects)])
    write(f"api/{title.lower().replace(' ', '-')}.md", page + "\n", "API")
