"""The recommended method: by name, in code and in jobs, with settings from the recipe."""

import pytest

import tiny_interactions
from expunge import Engine, forget
from expunge.errors import BadSetting
from expunge.methods import LevelScores, Retrain, ShrinkPerturb
from expunge.requests import ForgetClass, ForgetRows
from expunge.studies.advice import KEEP_FOR_RECORDS, recommended
from expunge.studies.job import parse_job
from tiny import RECIPE, class_split, original, same_weights, task

JOB = """
data: {name: digits}
model: {name: mlp}
training: {epochs: 25, optimizer: {learning_rate: 0.01}}
request: REQUEST
methods: [auto, finetune]
"""


def test_records_keep_less_of_the_trained_weights_than_a_kind_of_thing():
    records, kind = recommended(Retrain(epochs=40), kind=False), recommended(Retrain(epochs=40), kind=True)
    assert isinstance(records, ShrinkPerturb) and isinstance(kind, ShrinkPerturb)
    assert records.keep == KEEP_FOR_RECORDS < kind.keep and records.epochs == kind.epochs == 8


def test_auto_takes_what_is_recommended_for_the_split_and_the_recipe():
    engine = Engine(progress=False)
    model, split = original(engine), class_split()
    result = forget(model, task(), split, "auto", retrain=RECIPE, engine=Engine(progress=False))
    assert result.method == recommended(RECIPE, kind=True) != recommended(RECIPE, kind=False)
    named = forget(model, task(), split, recommended(RECIPE, kind=True), engine=Engine(progress=False))
    assert same_weights(result.model, named.model)


def test_auto_without_a_recipe_is_refused():
    model = original(Engine(progress=False))
    with pytest.raises(BadSetting, match=r'^method "auto" follows from the recipe of the model: give it as retrain='):
        forget(model, task(), class_split(), "auto")


@pytest.mark.parametrize(
    ("words", "request_", "kind"), [("{class: 3}", ForgetClass(3), True), ("{rows: [1, 5]}", ForgetRows((1, 5)), False)]
)
def test_a_job_names_it_auto_and_its_row_by_the_method(words, request_, kind):
    job = parse_job(JOB.replace("REQUEST", words))
    assert job.request == request_ and list(job.methods) == ["shrink-perturb", "finetune"]
    assert job.methods["shrink-perturb"] == recommended(job.training, kind=kind)
    assert job.methods["shrink-perturb"].epochs == 5 and job.deliver == "shrink-perturb"


@pytest.mark.parametrize("words", ["{users: 0.05}", "{items: [film]}", "{pairs: 10}", "{features: image, of: 0.1}"])
def test_of_recommenders_rows_are_reset(words):
    job = parse_job(JOB.replace("REQUEST", words))
    assert list(job.methods) == ["level-scores", "finetune"] and job.methods["level-scores"] == LevelScores()
    assert recommended(Retrain(), kind=True, predicts="rankings") == recommended(Retrain(), False, "rankings") == LevelScores()


def test_auto_in_code_resets_rows_of_a_recommender():
    task, model = tiny_interactions.task("bpr-mf"), tiny_interactions.trained("bpr-mf")
    split = tiny_interactions.parts().without(tiny_interactions.removal("users"))
    assert forget(model, task, split, "auto", retrain=RECIPE, engine=Engine(progress=False)).method == LevelScores()
