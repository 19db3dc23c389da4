"""`expunge audit PIPELINE --concealment` as a user meets it, on pipelines that draw 16 pixels by way of latents."""

import json
import re
import shutil
from functools import cache
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler
from PIL import Image
from typer.testing import CliRunner

from expunge.audits.concealment import Concealment
from expunge.cli import app
from expunge.diffusion import Sampling
from expunge.diffusion.recognizers import Recognizer
from expunge.errors import BadRequest
from expunge.models.pipelines import read_pipeline, write_pipeline
from expunge.models.text_to_image import small_clip_tokenizer, small_text_to_image
from expunge.studies import concealment_run
from expunge.studies.concealment_run import audit_pipeline, verdicts

RUNNER = CliRunner()
NAMES = ("bright", "dark")
SIDE = 16
GIVEN = ("--original", "original", "--concept", "dark", "--images", "images")
ASKED = ("audit", "erased", "--concealment", *GIVEN)
QUICK = ("--steps", 2, "--count", 10)


def call(*words):
    return RUNNER.invoke(app, [str(word) for word in words], env={"COLUMNS": "160"})


def tokenizer():
    return small_clip_tokenizer(["a photo of bright", "a picture of dark"], length=8)


def pipeline(folder, shade, seed=0, **noise):
    """One that draws images of a shade, whatever is asked for: its VAE adds that shade to next to nothing."""
    torch.manual_seed(seed)
    denoiser = small_text_to_image(tokenizer(), channels=4, size=4, widths=(8, 16))()
    return write_pipeline(folder, denoiser, tokenizer(), DDIMScheduler(steps_offset=1, **noise), vae(shade))


@cache
def vae(shade):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    torch.manual_seed(0)
    made = AutoencoderKL(block_out_channels=(8, 8, 16), norm_num_groups=4, latent_channels=4, **blocks).eval()
    with torch.no_grad():
        made.decoder.conv_out.weight.mul_(0.01)
        made.decoder.conv_out.bias.fill_(shade)
    return made


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three pipelines that draw what is dark, and images of what is bright and dark."""
    root = tmp_path_factory.mktemp("concealment")
    for seed, name in enumerate(("original", "erased", "retrained")):
        pipeline(root / name, -0.8, seed)
    generator = torch.Generator().manual_seed(0)
    for name, low in zip(NAMES, (160, 0), strict=True):
        (root / "images" / name).mkdir(parents=True)
        for number in range(24):
            pixels = torch.randint(low, low + 90, (SIDE, SIDE, 3), generator=generator).byte().numpy()
            Image.fromarray(pixels).save(root / "images" / name / f"{number}.png")
    return root


@pytest.fixture
def files(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def test_figures_and_verdict(files):
    done = call(*ASKED, *QUICK, "--retrained", "retrained", "--guidance", 1, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert set(figures) == set(Concealment.figures)
    assert figures["concept_drawn"]["value"] == figures["concept_drawn"]["ideal"] == 1
    assert figures["others_drawn"]["value"] == 0  # what is bright is dark as well
    assert figures["recovery_area"]["note"] == "verdict: not removed"
    shown = call(*ASKED, *QUICK, "--retrained", "retrained", "--guidance", 1)
    assert shown.exit_code == 0 and shown.stdout.splitlines()[-1] == "Verdict: not removed"
    assert "recovery_area" in shown.stdout and "1.000" in shown.stdout


def test_without_a_retrained_pipeline_there_is_no_verdict(files):
    done = call(*ASKED, *QUICK)
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "No verdict without a retrained model"


def asked(monkeypatch):
    """What reaches the audit, which is not made."""
    heard = []

    def audit(model, task, split, **others):
        heard.append((model, task, split, others))
        return {}

    monkeypatch.setattr(concealment_run, "audit", audit)
    return heard


def test_options_reach_the_audit(files, monkeypatch):
    heard = asked(monkeypatch)
    options = ("--retrained", "retrained", "--retrained", "original", "--guidance", 3, "--steps", 7, "--count", 5)
    assert call(*ASKED, *options, "--template", "a picture of {}").exit_code == 0
    [(model, task, split, others)] = heard
    (audit,) = others["audits"]
    assert task.sampling == Sampling(7, 3.0) and audit.count == 5 and audit.recognizer.accuracy > 0.9
    assert task.concepts.names == NAMES and split.concept == 1 and split.forget.examples == split.retain.examples == 24
    assert split.forget.images.shape[1:] == (4, 4, 4), "latents"
    decoded = [" ".join(tokenizer().decode(row, skip_special_tokens=True).split()) for row in task.concepts.conditions[:, 0]]
    assert decoded == ["a picture of bright", "a picture of dark"]
    assert same(model, "erased") and same(others["original"], "original")
    assert same(others["retrained"][0], "retrained") and same(others["retrained"][1], "original")


def same(model, folder):
    state = read_pipeline(folder).denoiser.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


def test_what_is_not_said_is_as_usual(files, monkeypatch):
    heard = asked(monkeypatch)
    assert call(*ASKED).exit_code == 0
    [(_, task, _, others)] = heard
    assert task.sampling == Sampling(50, 7.5) and others["audits"][0].count == 48 and others["retrained"] == []
    assert others["engine"].device.type == "cpu" and task.concepts.ways == 1


def test_each_template_is_asked_by_itself(files):
    told = Recognizer(Dark(), 1.0)
    quick = Concealment(psi=(0.0, 0.5), count=10, others=2, references=0, recognizer=told)
    templates = ("a photo of {}", "a picture of {}")
    settings = {"retrained": ["retrained"], "sampling": Sampling(2), "concealment": quick}
    figures = audit_pipeline("erased", "original", "dark", "images", templates=templates, **settings)
    assert {name for name in figures if name.startswith("concept_drawn")} == {
        f"concept_drawn ({template})" for template in templates
    }
    assert verdicts(figures) == [f"Verdict: not removed ({template})" for template in templates]


def test_what_the_original_never_drew_is_refused(files):
    quick = Concealment(psi=(0.0, 0.5), count=10, others=2, references=0, recognizer=Blind(Dark(), 1.0))
    with pytest.raises(BadRequest, match="original can't be attacked: the original itself draws 'dark' in 0% of images"):
        audit_pipeline("erased", "original", "dark", "images", sampling=Sampling(2), concealment=quick)


class Blind(Recognizer):
    """Takes all for bright."""

    def answers(self, images):
        return torch.zeros(len(images), dtype=torch.long)


class Dark(torch.nn.Module):
    """Recognises what is dark."""

    def __init__(self):
        super().__init__()
        self.head = torch.nn.Identity()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        return self.head(torch.stack([images.mean((1, 2, 3)), -images.mean((1, 2, 3))], 1))


# ---- refusals ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("audit", "erased", "--concealment"), "--concealment needs --original, the folder of the pipeline before"),
        (
            ("audit", "erased", "--concealment", "--original", "original"),
            "--concealment needs --concept, the name of what went",
        ),
        ((*ASKED[:-2],), "--concealment needs --images, a folder with a folder of images for each concept"),
        ((*ASKED, "--weights", "w.safetensors"), "--weights is for a job file: a pipeline's weights are in its folder"),
        (("audit", "erased", *GIVEN), "--concept is for a pipeline of diffusers: add --concealment"),
        (("audit", "job.yaml", "--weights", "w", "--steps", 3), "--steps is for a pipeline of diffusers: add --concealment"),
        (("audit", "job.yaml"), "say which model to audit with --weights; a pipeline of diffusers needs --concealment instead"),
        ((*ASKED, "--steps", 0), "sampling needs steps >= 1"),
        ((*ASKED, "--count", 0), "concealment needs count"),
        ((*ASKED, "--template", "a photo"), "templates of prompts have {} where the concept's name stands"),
        (("audit", "nowhere", *ASKED[2:]), "there is no folder nowhere; give one with a pipeline"),
        (("audit", "images", *ASKED[2:]), "images holds no pipeline of diffusers: model_index.json is missing"),
        ((*ASKED, "--retrained", "gone"), "there is no folder gone"),
        ((*ASKED[:-1], "gone"), "folder of images not found: gone"),
        ((*ASKED[:-3], "grey", *ASKED[-2:]), "images has no folder 'grey' of images; there are bright, dark"),
    ],
)
def test_options_that_do_not_fit_end_with_code_2(files, words, message):
    done = call(*words)
    assert done.exit_code == 2 and message in " ".join(done.stderr.split()), done.output
    assert done.stdout == "" and "Traceback" not in done.output


def test_pipelines_that_do_not_match_are_refused(files):
    pipeline(files / "noisier", -0.8, beta_end=0.03)
    pipeline(files / "brighter", 0.8)
    for words, message in (
        ((*ASKED, "--retrained", "noisier"), "noisier can't be held against original: .* alphas_cumprod at time"),
        (("audit", "brighter", *ASKED[2:]), "brighter can't be held against original: .* the weights of the vae differ"),
    ):
        done = call(*words)
        assert done.exit_code == 2 and re.search(message, " ".join(done.stderr.split())), done.output


def test_too_few_images_of_a_concept_name_its_folder(files):
    for path in sorted(Path("images/bright").iterdir())[9:]:
        path.unlink()
    done = call(*ASKED)
    assert done.exit_code == 2
    assert "images has 9 images of 'bright', and 10 are needed to recognise it" in " ".join(done.stderr.split())


def test_ten_images_of_a_concept_are_enough(files, monkeypatch):
    asked(monkeypatch)
    for name in NAMES:
        for path in sorted(Path("images", name).iterdir())[10:]:
            path.unlink()
    assert call(*ASKED).exit_code == 0


def test_images_that_cannot_be_told_apart_are_refused(files):
    for path in Path("images/bright").iterdir():
        shutil.copy(path, Path("images/dark") / path.name)
    done = call(*ASKED)
    assert done.exit_code == 2, done.output
    assert "a small network that is trained on images recognises only" in " ".join(done.stderr.split())
