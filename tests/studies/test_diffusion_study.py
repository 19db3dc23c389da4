"""The diffusion study: what it plans, what it refuses, and a small run on patterns."""

from pathlib import Path

import pytest
import torch
from PIL import Image

import tiny_diffusion
from expunge import Engine
from expunge.audits.concealment import Concealment
from expunge.data import load
from expunge.errors import BadRequest, BadSetting
from expunge.methods import ESD, SDD
from expunge.studies import STUDIES
from expunge.studies.diffusion import DiffusionStudy
from expunge.studies.diffusion_methods import WeightNoise, diffusion_methods
from expunge.studies.diffusion_scenarios import DIGITS, RECIPE, SAMPLING, concept_scenario
from expunge.studies.drawn_scenario import DrawnScenario


def test_it_is_known_by_its_files_name():
    assert STUDIES["diffusion"] is DiffusionStudy and DiffusionStudy.default_data == "digits"


def test_of_digits_seven_goes_and_one_stands_in_for_it(never_trains):
    plan = DiffusionStudy().plan(None, "quick")
    assert plan.data == "digits" and list(plan.forgotten) == ["seven"]
    assert plan.forgotten["seven"] == "'seven', which 143 of 1,437 images of digits show"
    scenario = concept_scenario(load("digits"), "seven", "one")
    everything, split = scenario.draw(0)
    assert (split.concept, split.anchor, everything.examples, split.forget.examples) == (7, 1, 1437, 143)
    assert float(everything.images.min()) == -1 and float(everything.images.max()) == 1
    assert len(split.holdout_forget) > 0 and SAMPLING.eta == 1
    assert {audit.name for audit in scenario.audits} >= {"concealment", "concept-attacks", "membership", "run-time"}
    assert "relearning" not in {audit.name for audit in scenario.audits}
    assert list(DiffusionStudy().plan(None, "full").forgotten) == ["seven", "three", "zero"]
    assert list(DiffusionStudy(concept="four").plan("digits", "full").forgotten) == ["four"]


def test_each_digit_has_another_one_that_stands_in_for_it():
    assert all(name in DIGITS and name != other for other, name in DIGITS.items())


def test_any_images_with_classes_go(tmp_path, never_trains):
    for name, shade in (("cat", 40), ("dog", 200)):
        (tmp_path / "animals" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (8, 8), (shade, number, 0)).save(tmp_path / "animals" / name / f"{number}.png")
    plan = DiffusionStudy(concept="dog").plan(str(tmp_path / "animals"), "quick")
    assert list(plan.forgotten) == ["dog"] and "of animals show" in plan.forgotten["dog"]
    for number in range(9):
        (tmp_path / "animals" / "dog" / f"{number}.png").unlink()
    with pytest.raises(BadRequest, match="animals has 9 images of 'dog' to train on, and 10 are needed"):
        DiffusionStudy(concept="dog").plan(str(tmp_path / "animals"), "quick")


@pytest.mark.parametrize(
    ("study", "data", "message"),
    [
        (DiffusionStudy(concept="eleven"), None, "--concept is one of zero, one, .*, not 'eleven'"),
        (DiffusionStudy(anchor="eleven"), None, "--anchor is one of zero, one"),
        (DiffusionStudy(), "diabetes", "diabetes is no set of images with classes"),
    ],
)
def test_what_there_is_not_is_refused(study, data, message, never_trains):
    with pytest.raises(BadSetting, match=message):
        study.plan(data, "quick")


def test_noise_on_weights_is_as_strong_as_it_says_and_leaves_the_original():
    original = tiny_diffusion.trained()
    before = {name: weight.clone() for name, weight in original.named_parameters()}
    noised = WeightNoise(0.5)(original, None, None, Engine(progress=False))
    assert all(torch.equal(weight, before[name]) for name, weight in original.named_parameters())
    weight = (noised.get_parameter("network.into.weight") - before["network.into.weight"]).detach()
    assert weight.std().item() == pytest.approx(0.5 * before["network.into.weight"].std().item(), rel=0.1)
    same = WeightNoise(0.0)(original, None, None, Engine(progress=False))
    assert all(torch.equal(weight, before[name]) for name, weight in same.named_parameters())


def test_the_first_method_is_the_one_that_is_held_against_retraining():
    few, many = (list(diffusion_methods(RECIPE, all_of_them)) for all_of_them in (False, True))
    assert few[0] == many[0] == "salun-unasked" and set(few) < set(many)


def test_a_report_shows_who_only_hides_and_a_second_run_draws_nothing_again(tmp_path, monkeypatch):
    split = tiny_diffusion.split()
    methods = {"esd-x": ESD(steps=80, drawn=16), "sdd": SDD(steps=20, refresh=20, drawn=8)}
    audits = (Concealment(psi=(0.0, 0.3, 0.5, 0.7), count=16, others=6, references=0),)
    scenario = DrawnScenario(
        "chequers",
        "a tiny network",
        tiny_diffusion.task(),
        tiny_diffusion.RECIPE,
        methods,
        lambda seed: (split.everything, split),
        "chequers",
        audits,
    )
    monkeypatch.setattr(DiffusionStudy, "_scenarios", lambda study, data, budget: (scenario,))
    studied = DiffusionStudy().run(folder=tmp_path)
    case = studied.evidence.cases[0]
    esd = next(row for row in case.rows if row.name == "esd-x")
    assert esd.values["recovery_area"].note == "verdict: concealed" and esd.curves.recovery.asked[0] < 0.4
    assert [row.name for row in case.rows] == ["original", "retrained", "retrained-2", "esd-x", "sdd"]
    page = studied.write(tmp_path, None).read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5 * 4 * 3 and "concealed" in page

    def never(*args, **settings):
        raise AssertionError("nothing is drawn again")

    monkeypatch.setattr(type(scenario.task), "draw", never)
    again = DiffusionStudy().run(folder=tmp_path)
    assert again.evidence.cases[0].rows[3].curves.recovery == esd.curves.recovery
    assert Path(tmp_path / "study.json").exists()
