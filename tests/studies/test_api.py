"""The three-line use, for people with their own training code."""

import itertools
import json
from pathlib import Path

import pytest
import torch

import expunge
from expunge import Engine, Split, audit, forget
from expunge.audits import Accuracy, Membership
from expunge.errors import BadSetting
from expunge.methods import METHODS, NegGradPlus
from expunge.storage import load_weights
from expunge.studies.comparison import compare
from tiny import RECIPE, class_split, original, same_weights, task


@pytest.fixture(scope="module")
def trained():
    return original(Engine(progress=False))


def test_the_public_names():
    assert set(expunge.__all__) == {"Engine", "Split", "audit", "forget"}


def test_three_lines_forget_and_report(trained, tmp_path):
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    result = forget(trained, task(), class_split(), method="neggrad-plus", engine=Engine(progress=False))
    report = result.report(tmp_path / "out")
    assert all(torch.equal(before[name], tensor) for name, tensor in trained.state_dict().items())
    assert {path.name for path in report.parent.iterdir()} == {
        "model.safetensors",
        "audit.json",
        "history.jsonl",
        "report.html",
        "statement.html",
    }
    assert same_weights(load_weights(task().new_model(), report.parent / "model.safetensors"), result.model)
    case = json.loads((report.parent / "audit.json").read_text())["cases"][0]
    assert case["verdict"].startswith("Nothing is proven: no retrained model")
    assert [row["model"] for row in case["rows"]] == ["original", "neggrad-plus"]
    assert result.figures["forget_accuracy"].ideal is None


def test_with_the_recipe_the_result_is_held_against_two_retrained_models(trained):
    method = NegGradPlus(epochs=10)
    result = forget(trained, task(), class_split(), method, retrain=RECIPE, engine=Engine(progress=False))
    assert list(result.comparison.subjects) == ["original", "retrained", "retrained-2", "neggrad-plus"]
    assert result.comparison.subjects["neggrad-plus"].model is result.model, "it was made a second time"
    golds = [result.comparison.subjects[name].model for name in ("retrained", "retrained-2")]
    assert not same_weights(*golds), "the noise floor needs a seed of its own"
    assert result.figures["forget_accuracy"].ideal == 0
    assert result.figures["seconds"].value == result.seconds > 0


def test_only_the_audits_that_are_asked_for_run(trained):
    result = forget(trained, task(), class_split(), "finetune", engine=Engine(progress=False), audits=[Membership(resamples=0)])
    assert set(result.figures) == {"membership_auc", "membership_two_sided", "membership_tpr", "membership_accuracy"}


def test_an_unknown_method_is_refused_before_anything_is_done(trained):
    with pytest.raises(BadSetting, match="unknown method 'forgetall'; there are alt-po, amun, bad-teacher"):
        forget(trained, task(), class_split(), "forgetall")


def test_a_restarted_script_finds_its_result(trained, tmp_path):
    def run():
        engine = Engine(progress=False, folder=tmp_path)
        return forget(trained, task(), class_split(), "neggrad-plus", engine=engine)

    first, again = run(), run()
    assert same_weights(first.model, again.model) and first.seconds == again.seconds
    assert any(Path(tmp_path).rglob("result.safetensors"))


def test_audit_of_any_model(trained):
    gold = RECIPE(trained, task(), class_split(), Engine(progress=False))
    figures = audit(trained, task(), class_split(), original=trained, retrained=[gold], engine=Engine(progress=False))
    assert figures["forget_accuracy"].value > 0.95 and figures["forget_accuracy"].ideal == 0
    assert figures["relearn_steps"].value == 0 < figures["relearn_steps"].ideal
    of_gold = audit(gold, task(), class_split(), retrained=[gold], engine=Engine(progress=False))
    assert of_gold["tow"].value == 1 and of_gold["forget_kl"].value == pytest.approx(0, abs=1e-6)
    assert "relearn_steps" not in of_gold, "without the original there is nothing to relearn to"
    alone = audit(gold, task(), class_split(), audits=[Accuracy()])
    assert alone["forget_accuracy"].ideal is None and "forget_accuracy_gap" not in alone


def test_one_folder_does_not_mix_up_two_requests(trained, tmp_path):
    """The same method for other rows, or for another model, is another result."""
    split, engine = class_split(), Engine(progress=False, folder=tmp_path)
    other_rows = Split(split.retain, split.forget, split.holdout)
    other_model = RECIPE.train(task(), split.retain, Engine(seed=5, progress=False))
    results = [
        forget(model, task(), parts, "finetune", engine=engine).model
        for model, parts in ((trained, split), (trained, other_rows), (other_model, split))
    ]
    assert not any(same_weights(*pair) for pair in itertools.combinations(results, 2))


def test_a_restarted_comparison_keeps_its_history(trained, tmp_path):
    engines = [Engine(progress=False, folder=tmp_path) for _ in range(2)]
    for engine in engines:
        compare(trained, task(), class_split(), {"finetune": METHODS["finetune"]()}, engine, audits=[])
    assert engines[0].history and engines[0].history == engines[1].history
