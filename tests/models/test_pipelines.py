"""Pipelines in folders: what diffusers itself makes of them, whatever may be wrong with one, and what may not differ."""

import copy
import json
import shutil
import sys

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, EulerDiscreteScheduler, PNDMScheduler, StableDiffusionPipeline
from diffusers import FlowMatchEulerDiscreteScheduler as Flow
from safetensors.torch import load_file, save_file

from expunge.diffusion import Sampling
from expunge.diffusion.sampling import noise_of
from expunge.errors import BadFile, BadSetting, MissingExtra
from expunge.models.pipelines import Pipeline, check_same, read_pipeline, write_pipeline
from expunge.models.text_to_image import Denoiser, small_clip_tokenizer, small_text_to_image
from expunge.tasks import DiffusionTask

WORDS = ("a photo of one", "a photo of two")
NAMES, TEMPLATES = ("one", "two"), ("a photo of {}",)
STEPS = Sampling(steps=4)


def tokenizer(*more):
    return small_clip_tokenizer([*WORDS, *more], length=8)


def denoiser(channels=4, widths=(8, 16), seed=0, words=None):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return small_text_to_image(words or tokenizer(), channels=channels, size=4, widths=widths)().eval()


def vae(seed=0, **settings):
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 3, "up_block_types": ("UpDecoderBlock2D",) * 3}
    shape = {"block_out_channels": (8, 8, 16), "norm_num_groups": 4, "latent_channels": 4, "scaling_factor": 0.5}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return AutoencoderKL(**blocks, **{**shape, **settings}).eval()


def scheduler(kind=DDIMScheduler, **settings):
    """As Stable Diffusion has it: diffusers changes others when it makes a pipeline of them."""
    given = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "steps_offset": 1, **settings}
    return kind(**given)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pipelines") / "whole"
    return write_pipeline(folder, denoiser(), tokenizer(), scheduler(clip_sample=False), vae())


@pytest.fixture
def folder(written, tmp_path):
    return shutil.copytree(written, tmp_path / "whole")


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def stock_images(folder, words, seeds, shape, parts=None, **settings):
    """What diffusers draws."""
    local = {"local_files_only": True, "use_safetensors": True}
    pipeline = StableDiffusionPipeline.from_pretrained(str(folder), **local, **(parts or {}))
    pipeline.set_progress_bar_config(disable=True)
    noise = noise_of([torch.Generator().manual_seed(seed) for seed in seeds], shape)
    settings = {"num_inference_steps": STEPS.steps, "output_type": "pt", **settings}
    with torch.no_grad():
        return pipeline(list(words), latents=noise, **settings).images


# ---- written and read -------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read_bit_for_bit(folder, capfd):
    assert not list(folder.glob(".writing-*")) and not list(folder.rglob("*.bin"))
    capfd.readouterr()
    read = read_pipeline(folder)
    assert capfd.readouterr().err == ""  # no progress bars where nobody sees them
    assert same_weights(read.denoiser, denoiser()) and same_weights(read.vae, vae())
    assert not any(module.training for module in (*read.denoiser.modules(), *read.vae.modules()))
    assert read.tokenizer.get_vocab() == tokenizer().get_vocab() and read.prompt_length == 8
    assert torch.equal(read.scheduler.alphas_cumprod, scheduler().alphas_cumprod)
    assert read.shape == (4, 4, 4) and read.image_shape == (3, 16, 16)


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_diffusers_draws_the_same_images(folder, guidance):
    pipeline = read_pipeline(folder)
    task = DiffusionTask.of(pipeline, NAMES, TEMPLATES, Sampling(STEPS.steps, guidance))
    mine = task.draw(pipeline.denoiser, task.concepts.ask(torch.tensor([0, 1])), [5, 6])
    theirs = stock_images(folder, WORDS, [5, 6], pipeline.shape, guidance_scale=guidance) * 2 - 1
    assert mine.shape == theirs.shape == (2, 3, 16, 16) and mine.std() > 0.01
    assert torch.allclose(mine, theirs, atol=1e-4), (mine - theirs).abs().max()
    assert not torch.allclose(mine[0], mine[1], atol=1e-2)


def test_latents_are_not_clipped_whatever_the_scheduler_says(tmp_path):
    for kind in (DDIMScheduler, PNDMScheduler, EulerDiscreteScheduler):
        pipeline = Pipeline(denoiser(), tokenizer(), scheduler(kind), vae())
        assert DiffusionTask.of(pipeline, NAMES).scheduler.config.clip_sample is False
    pixels = denoiser(channels=1)
    assert DiffusionTask.of(Pipeline(pixels, tokenizer(), scheduler()), NAMES).scheduler.config.clip_sample is True
    assert (
        DiffusionTask.of(Pipeline(pixels, tokenizer(), scheduler(PNDMScheduler)), NAMES).scheduler.config.clip_sample is False
    )


def test_pipelines_of_pixels_have_no_vae(tmp_path):
    model = denoiser(channels=1)
    folder = write_pipeline(tmp_path / "pixels", model, tokenizer(), scheduler(clip_sample=False))
    read = read_pipeline(folder)
    assert read.vae is None and read.shape == read.image_shape == (1, 4, 4) and not (folder / "vae").exists()
    task = DiffusionTask.of(read, NAMES, TEMPLATES, STEPS)
    mine = task.draw(read.denoiser, task.concepts.ask(torch.tensor([0, 1])), [5, 6])
    theirs = stock_images(folder, WORDS, [5, 6], read.shape, {"vae": None}, guidance_scale=1.0, output_type="latent")
    assert torch.allclose(mine, theirs.clamp(-1, 1), atol=1e-4)


def test_fresh_models_have_the_architecture_and_other_weights(folder):
    pipeline = read_pipeline(folder)
    made = DiffusionTask.of(pipeline, NAMES).new_model()
    shapes = [{name: each.shape for name, each in model.state_dict().items()} for model in (made, pipeline.denoiser)]
    assert shapes[0] == shapes[1]
    weight = "network.conv_in.weight"
    assert not torch.equal(made.state_dict()[weight], pipeline.denoiser.state_dict()[weight])
    assert (
        DiffusionTask.of(pipeline, NAMES).concepts.ways == 4 and DiffusionTask.of(pipeline, NAMES, TEMPLATES).concepts.ways == 1
    )


@pytest.mark.parametrize("kind", [PNDMScheduler, EulerDiscreteScheduler])
def test_every_scheduler_with_noise_is_read(tmp_path, kind):
    made = scheduler(kind, prediction_type="v_prediction")
    read = read_pipeline(write_pipeline(tmp_path / "other", denoiser(), tokenizer(), made, vae()))
    assert type(read.scheduler) is kind
    task = DiffusionTask.of(read, NAMES)
    assert torch.equal(task.scheduler.alphas_cumprod, made.alphas_cumprod)
    assert task.scheduler.config.prediction_type == "v_prediction"


def test_halves_are_read_whole(tmp_path):
    folder = write_pipeline(tmp_path / "half", denoiser().half(), tokenizer(), scheduler(), vae().half())
    assert load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")["conv_in.weight"].dtype == torch.half
    read = read_pipeline(folder)
    assert {each.dtype for model in (read.denoiser, read.vae) for each in model.parameters()} == {torch.float32}


def test_a_pipeline_takes_the_place_of_another_whole(folder):
    (folder / "notes.txt").write_text("mine")
    (folder / "unet" / "diffusion_pytorch_model-00001-of-00002.safetensors").write_text("old")
    (folder / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text("old")
    write_pipeline(folder, denoiser(channels=1, seed=1), tokenizer(), scheduler())
    read = read_pipeline(folder)
    assert read.vae is None and same_weights(read.denoiser, denoiser(channels=1, seed=1))
    assert (folder / "notes.txt").read_text() == "mine"


def test_one_that_was_being_written_is_not_read(folder, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("expunge.models.pipelines._replace", killed)
    with pytest.raises(KeyboardInterrupt):
        write_pipeline(folder, denoiser(seed=1), tokenizer(), scheduler(), vae())
    with pytest.raises(BadFile, match=r"model_index.json is missing"):
        read_pipeline(folder)


def test_what_cannot_be_written(tmp_path):
    parts = {"denoiser": denoiser(), "tokenizer": tokenizer(), "scheduler": scheduler(), "vae": vae()}
    wrong = [
        ({"denoiser": torch.nn.Linear(1, 1)}, "a NoneType isn't written as unet; diffusers.UNet2DConditionModel is"),
        ({"denoiser": Denoiser(denoiser().network)}, "a NoneType isn't written as text_encoder"),
        ({"scheduler": torch.nn.Linear(1, 1)}, "a Linear isn't written as scheduler"),
        ({"scheduler": Flow()}, "a FlowMatchEulerDiscreteScheduler has no alphas_cumprod"),
        ({"vae": torch.nn.Linear(1, 1)}, "a Linear isn't written as vae; diffusers.AutoencoderKL is"),
        ({"vae": vae(latent_channels=3)}, "the vae makes 3 channels, and the unet takes 4"),
        ({"tokenizer": tokenizer("some words more")}, "tokens, and the text_encoder knows"),
    ]
    for changed, message in wrong:
        with pytest.raises(BadSetting, match=message):
            write_pipeline(tmp_path / "new", **{**parts, **changed})
    (tmp_path / "file").write_text("")
    with pytest.raises(BadFile, match="is a file; give a folder"):
        write_pipeline(tmp_path / "file", **parts)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# ---- folders that are not whole ---------------------------------------------------------------------------------------------

UNET = "unet/diffusion_pytorch_model.safetensors"


def _without(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def _text(name, text):
    return lambda folder: (folder / name).write_text(text)


def _changed(name, **fields):
    def change(folder):
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(settings | fields))

    return change


def _pickled(folder):
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    (folder / UNET).unlink()


def _cut(folder):
    (folder / UNET).write_bytes((folder / UNET).read_bytes()[:-100])


def _lacking(name, tensor):
    def change(folder):
        tensors = load_file(folder / name)
        tensors.pop(tensor)
        save_file(tensors, folder / name, {"format": "pt"})

    return change


INDEX = "model_index.json"


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (_without(INDEX), "holds no pipeline of diffusers: model_index.json is missing"),
        (_text(INDEX, "{"), "model_index.json cannot be read"),
        (_text(INDEX, "[]"), "model_index.json cannot be read"),
        (_text(INDEX, "{}"), "names no unet; a pipeline has unet, vae, text_encoder, tokenizer, scheduler, of which vae may"),
        (lambda folder: shutil.rmtree(folder / "vae"), "lacks the folder vae that its model_index.json names"),
        (_changed(INDEX, transformer=["diffusers", "DiTTransformer2DModel"]), "has a transformer, which isn't read"),
        (_changed(INDEX, text_encoder_2=["transformers", "CLIPTextModel"]), "has a text_encoder_2, which isn't read"),
        (
            _changed(INDEX, unet=["diffusers", "UNet2DModel"]),
            "diffusers.UNet2DModel, and only diffusers.UNet2DConditionModel is",
        ),
        (_changed(INDEX, unet=["own", "UNet2DConditionModel"]), "the unet in .* is of the class own.UNet2DConditionModel"),
        (_changed(INDEX, text_encoder=["transformers", "T5EncoderModel"]), "only transformers.CLIPTextModel is read"),
        (
            _changed(INDEX, scheduler=["diffusers", "DDIMSchedular"]),
            "is a DDIMSchedular, and diffusers .* has no such scheduler",
        ),
        (_changed(INDEX, scheduler=["diffusers", "UNet2DModel"]), "has no such scheduler"),
        (_changed(INDEX, scheduler=["diffusers", "FlowMatchEulerDiscreteScheduler"]), "has no alphas_cumprod"),
        (_without("scheduler/scheduler_config.json"), "holds no scheduler: scheduler_config.json is missing"),
        (_text("scheduler/scheduler_config.json", "{"), "the scheduler in .* cannot be read"),
        (_without("tokenizer/tokenizer.json"), "holds no tokenizer: it needs tokenizer.json"),
        (_text("tokenizer/tokenizer.json", "{"), "the tokenizer in .* cannot be read"),
        (_without(UNET), "unet holds no weights as safetensors"),
        (_without("text_encoder/model.safetensors"), "text_encoder holds no weights as safetensors"),
        (_pickled, r"unet are a pickle \(diffusion_pytorch_model.bin\).*convert them: DiffusionPipeline"),
        (_cut, "the UNet2DConditionModel in .*unet cannot be read"),
        (_lacking(UNET, "conv_in.weight"), "unet (lack 1 tensors|cannot be read)"),
        (_lacking("text_encoder/model.safetensors", "final_layer_norm.weight"), "lack 1 tensors that CLIPTextModel has"),
        (_text("unet/config.json", "{"), "the UNet2DConditionModel in .*unet cannot be read"),
        (_without("unet/config.json"), "the UNet2DConditionModel in .*unet cannot be read"),
        (_changed("unet/config.json", _class_name="UNet2DModel"), "its config.json is of a UNet2DModel"),
        (_changed("unet/config.json", sample_size=None), "says no sample_size"),
        (_changed("unet/config.json", block_out_channels=[8, 8]), "the UNet2DConditionModel in .*unet cannot be read"),
        (_changed("text_encoder/config.json", hidden_size=32), "the CLIPTextModel in .*text_encoder cannot be read"),
        (_text("text_encoder/adapter_config.json", "{}"), "text_encoder holds an adapter"),
    ],
)
def test_a_folder_that_is_not_whole(folder, harm, message):
    harm(folder)
    with pytest.raises(BadFile, match=message):
        read_pipeline(folder)


def test_parts_of_different_pipelines(folder, tmp_path):
    def taken(part, **parts):
        other = {"denoiser": denoiser(), "tokenizer": tokenizer(), "scheduler": scheduler(), **parts}
        mixed = shutil.copytree(folder, tmp_path / f"mixed-{len(list(tmp_path.iterdir()))}")
        shutil.rmtree(mixed / part)
        shutil.copytree(write_pipeline(tmp_path / f"other-{mixed.name}", **other) / part, mixed / part)
        return mixed

    large = tokenizer("some words more")
    for part, parts, message in (
        ("unet", {"denoiser": denoiser(channels=3)}, "the vae makes 4 channels, and the unet takes 3"),
        ("unet", {"denoiser": denoiser(widths=(8, 24))}, "gives 16 numbers for each token, and the unet takes 24"),
        ("tokenizer", {"denoiser": denoiser(words=large), "tokenizer": large}, "tokens, and the text_encoder knows"),
    ):
        with pytest.raises(BadFile, match=rf"the parts in .* don't make a pipeline: .*{message}"):
            read_pipeline(taken(part, **parts))


def test_unets_that_are_told_more_than_a_prompt(tmp_path):
    model = denoiser()
    more = type(model.network).from_config(model.network.config, num_class_embeds=3)
    with pytest.raises(BadSetting, match="the unet is told more than a prompt \\(num_class_embeds is 3\\)"):
        write_pipeline(tmp_path / "more", Denoiser(more, model.text_encoder), tokenizer(), scheduler(), vae())


def test_other_folders_and_nothing_installed(folder, monkeypatch):
    with pytest.raises(BadFile, match=r"there is no folder runwayml/stable-diffusion-v1-5; .* nothing is downloaded"):
        read_pipeline("runwayml/stable-diffusion-v1-5")
    monkeypatch.setitem(sys.modules, "diffusers", None)
    for call in (read_pipeline, lambda place: write_pipeline(place, denoiser, None, None)):
        with pytest.raises(MissingExtra, match=r"pip install 'expunge\[diffusion\]'"):
            call(folder)


def test_code_that_comes_with_a_pipeline_is_never_run(folder, tmp_path):
    trap = f"open({str(tmp_path / 'ran')!r}, 'w')\nfrom diffusers import UNet2DConditionModel as Own\n"
    for place in ("pipeline.py", "unet/own.py", "own/own.py", "text_encoder/own.py"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(trap)
    for part in ("unet", "text_encoder"):
        _changed(f"{part}/config.json", auto_map={"AutoModel": "own.Own", "AutoConfig": "own.Own"})(folder)
    assert same_weights(read_pipeline(folder).denoiser, denoiser())
    _changed(INDEX, _class_name=["pipeline", "Own"])(folder)
    with pytest.raises(BadFile, match=r"needs code of its own, pipeline\.py, which is never run"):
        read_pipeline(folder)
    _changed(INDEX, _class_name="StableDiffusionPipeline")(folder)
    _changed(INDEX, unet=["own", "Own"])(folder)
    with pytest.raises(BadFile, match=r"is of the class own\.Own, and only"):
        read_pipeline(folder)
    assert not (tmp_path / "ran").exists()


# ---- one beside another -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def before():
    return Pipeline(denoiser(), tokenizer(), scheduler(), vae())


def with_(before, **parts):
    return Pipeline(**{name: parts.get(name, getattr(before, name)) for name in ("denoiser", "tokenizer", "scheduler", "vae")})


def test_weights_of_what_learns_may_differ(before):
    check_same(before, before)
    check_same(before, with_(before, denoiser=denoiser(seed=1), vae=vae(), tokenizer=tokenizer()))
    check_same(before, with_(before, scheduler=scheduler(PNDMScheduler)))  # of another kind, with the same noise


def other_heads():
    model = denoiser()
    network = type(model.network).from_config(model.network.config, attention_head_dim=2)
    return Denoiser(network, model.text_encoder)


def other_encoder():
    model = denoiser()
    config = copy.deepcopy(model.text_encoder.config)
    config.num_hidden_layers = 1
    return Denoiser(model.network, type(model.text_encoder)(config))


@pytest.mark.parametrize(
    ("part", "make", "message"),
    [
        ("scheduler", lambda: scheduler(beta_end=0.013), r"alphas_cumprod at time \d+ is [0-9.]+ before and [0-9.]+ after"),
        ("scheduler", lambda: scheduler(num_train_timesteps=900), "1,000 times before and 900 after"),
        ("scheduler", lambda: scheduler(prediction_type="v_prediction"), "'epsilon' before and 'v_prediction' after"),
        ("vae", lambda: vae(seed=1), "the weights of the vae differ"),
        ("vae", lambda: vae(scaling_factor=0.18215), "scaling_factor of the vae is 0.5 before and 0.18215 after"),
        ("vae", lambda: None, "there is a vae only before"),
        ("denoiser", lambda: denoiser(widths=(8, 24)), r"block_out_channels of the unet is .*\(8, 16\).* before and"),
        ("denoiser", other_heads, "attention_head_dim of the unet is 4 before and 2 after"),
        ("denoiser", other_encoder, "num_hidden_layers of the text_encoder is 2 before and 1 after"),
        ("tokenizer", lambda: tokenizer("three"), "the vocabulary of the tokenizer differs"),
        ("tokenizer", lambda: small_clip_tokenizer(WORDS, length=9), "model_max_length of the tokenizer is 8 before and 9"),
    ],
)
def test_what_may_not_differ_is_named(before, part, make, message):
    with pytest.raises(BadSetting, match=f"may differ in the weights of unet and text_encoder alone: .*{message}"):
        check_same(before, with_(before, **{part: make()}))


def test_all_that_differs_is_said_at_once(before):
    with pytest.raises(BadSetting, match=r"alphas_cumprod.*; the weights of the vae differ"):
        check_same(before, with_(before, scheduler=scheduler(beta_end=0.02), vae=vae(seed=3)))
