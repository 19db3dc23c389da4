"""Text-to-image pipelines in folders, in the layout of diffusers for Stable Diffusion: reading them, and writing them.

    model_index.json    which class each part is of
    unet/               what tells noise from image
    vae/                what makes images of latents; a pipeline of pixels has none
    text_encoder/, tokenizer/, scheduler/

Only what lies in the folder is read, and only what cannot run: weights as safetensors, and no code that comes with a pipeline.
"""

import inspect
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from expunge.errors import BadFile, BadSetting
from expunge.models.pretrained import quiet, said_of, same_architecture
from expunge.models.text_to_image import Denoiser, missing_diffusion
from expunge.storage import weights_hash, write_json

INDEX = "model_index.json"
_CLASSES = {
    "unet": ("diffusers", ("UNet2DConditionModel",)),
    "vae": ("diffusers", ("AutoencoderKL",)),
    "text_encoder": ("transformers", ("CLIPTextModel",)),
    "tokenizer": ("transformers", ("CLIPTokenizer", "CLIPTokenizerFast")),
}
_PARTS = (*_CLASSES, "scheduler")
_NOT_NEEDED = ("safety_checker", "feature_extractor", "image_encoder")  # they look at images, and draw nothing
_MORE_THAN_PROMPTS = (
    "addition_embed_type",
    "class_embed_type",
    "num_class_embeds",
    "encoder_hid_dim",
    "time_cond_proj_dim",
)
_TOLD_APART = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "hidden_act")
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_READ = ("*.safetensors*", "*.json", "*.txt", *_PICKLED)  # what readers would take for a part


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What draws images of prompts.

    Args:
        denoiser: a UNet of diffusers with CLIP's text encoder.
        tokenizer: CLIP's.
        scheduler: of diffusers, of any kind that says how much noise there is at each time.
        vae: of diffusers, where latents are denoised; None where pixels are.
    """

    denoiser: Denoiser
    tokenizer: Any
    scheduler: Any
    vae: nn.Module | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of what is denoised: (channels, height, width)."""
        config: Any = self.denoiser.network.config
        size = config.sample_size
        height, width = (size, size) if isinstance(size, int) else size
        return config.in_channels, height, width

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Of the images that are drawn: (channels, height, width)."""
        channels, height, width = self.shape
        if self.vae is None:
            return channels, height, width
        config: Any = self.vae.config
        times = 2 ** (len(config.block_out_channels) - 1)
        return config.out_channels, height * times, width * times

    @property
    def prompt_length(self) -> int:
        """Tokens of a prompt: as many as tokenizer and text encoder both allow."""
        encoder: Any = self.denoiser.text_encoder
        return min(int(self.tokenizer.model_max_length), int(encoder.config.max_position_embeddings))

    def new_denoiser(self) -> Denoiser:
        """One of the same architecture, with fresh weights."""
        network: Any = self.denoiser.network
        assert self.denoiser.text_encoder is not None
        return Denoiser(type(network).from_config(network.config), same_architecture(self.denoiser.text_encoder)())


# ---- reading ----------------------------------------------------------------------------------------------------------------


def read_pipeline(folder: str | Path) -> Pipeline:
    """A pipeline from a folder in diffusers' layout; nothing is downloaded. Weights are read in full precision.

    Args:
        folder: holds `model_index.json` and a folder for each part that it names, with weights as safetensors.

    Raises:
        BadFile: if the folder or a part of it is missing or damaged, weights are pickled, a part is of a class that isn't read,
            or parts don't fit each other.
        MissingExtra: if diffusers or transformers is not installed.
    """
    folder = Path(folder)
    try:
        import diffusers
        import transformers
    except ImportError as error:
        raise missing_diffusion() from error
    named = _named(folder)
    libraries: dict[str, Any] = {"diffusers": diffusers, "transformers": transformers}

    def network(part: str) -> Any:
        return _network(getattr(libraries[_CLASSES[part][0]], named[part]), folder / part)

    pipeline = Pipeline(
        Denoiser(network("unet"), network("text_encoder")).eval(),
        _tokenizer(folder / "tokenizer"),
        _scheduler(named["scheduler"], folder / "scheduler"),
        network("vae") if "vae" in named else None,
    )
    if said := _misfit(pipeline):
        raise BadFile(f"the parts in {folder} don't make a pipeline: {said}")
    return pipeline


def _named(folder: Path) -> dict[str, str]:
    """The class of each part, by its name, once it is known that all are read and there."""
    pairs = _index(folder)
    for part, (library, kind) in pairs.items():
        if part not in (*_PARTS, *_NOT_NEEDED):
            raise BadFile(f"{folder} has a {part}, which isn't read; a pipeline is read that has {', '.join(_PARTS)} alone")
        if part in _CLASSES and (library != _CLASSES[part][0] or kind not in _CLASSES[part][1]):
            read = ".".join((_CLASSES[part][0], _CLASSES[part][1][0]))
            raise BadFile(f"the {part} in {folder} is of the class {library}.{kind}, and only {read} is read")
    for part in _PARTS:
        if part not in pairs and part != "vae":
            raise BadFile(f"{folder / INDEX} names no {part}; a pipeline has {', '.join(_PARTS)}, of which vae may be left out")
        if part in pairs and not (folder / part).is_dir():
            raise BadFile(f"{folder} lacks the folder {part} that its {INDEX} names; copy it from where the pipeline came from")
    return {part: kind for part, (_, kind) in pairs.items() if part in _PARTS}


def _index(folder: Path) -> dict[str, tuple[str, str]]:
    """Library and class of each part that the index names."""
    if not folder.is_dir():
        raise BadFile(f"there is no folder {folder}; give one with a pipeline in diffusers' layout, nothing is downloaded")
    if not (folder / INDEX).is_file():
        raise BadFile(f"{folder} holds no pipeline of diffusers: {INDEX} is missing")
    try:
        index = json.loads((folder / INDEX).read_text())
        pairs = {
            part: (str(value[0]), str(value[-1])) for part, value in index.items() if isinstance(value, list) and any(value)
        }
    except (ValueError, AttributeError) as error:  # JSONDecodeError and UnicodeDecodeError are ValueErrors
        raise BadFile(f"{folder / INDEX} cannot be read: {error}; copy it anew") from error
    if "_class_name" in pairs:
        raise BadFile(f"the pipeline in {folder} needs code of its own, {pairs['_class_name'][0]}.py, which is never run")
    return pairs


def _network(kind: Any, folder: Path) -> Any:
    """A network of diffusers or transformers, in evaluation mode."""
    _check_weights(folder)
    with said_of(folder, kind.__name__), quiet():
        config = dict(json.loads((folder / "config.json").read_text()))
        if (its := config.get("_class_name", kind.__name__)) != kind.__name__:
            raise ValueError(f"its config.json is of a {its}")
        settings = {"local_files_only": True, "use_safetensors": True, "output_loading_info": True}
        model, found = kind.from_pretrained(str(folder), **settings)
    if missing := sorted(found["missing_keys"]):
        raise BadFile(
            f"the weights in {folder} lack {len(missing):,} tensors that {kind.__name__} has, such as '{missing[0]}'; they are "
            "those of another model, or not all of them were copied"
        )
    return model.float().eval()


def _check_weights(folder: Path) -> None:
    if (folder / "adapter_config.json").is_file():
        raise BadFile(f"{folder} holds an adapter; work it into the weights and save the pipeline anew")
    if any(folder.glob("*.safetensors")):
        return
    pickled = next((path.name for pattern in _PICKLED for path in sorted(folder.glob(pattern))), None)
    if pickled is None:
        raise BadFile(f"{folder} holds no weights as safetensors; copy them from where the pipeline came from")
    raise BadFile(
        f"the weights in {folder} are a pickle ({pickled}), which can run foreign code when it is opened; convert them: "
        "DiffusionPipeline.from_pretrained(FOLDER, use_safetensors=False).save_pretrained(NEW_FOLDER), where you trust it"
    )


def _tokenizer(folder: Path) -> Any:
    from transformers import CLIPTokenizer

    if not (folder / "tokenizer.json").is_file() and not all(
        (folder / name).is_file() for name in ("vocab.json", "merges.txt")
    ):
        raise BadFile(f"{folder} holds no tokenizer: it needs tokenizer.json, or vocab.json and merges.txt")
    with said_of(folder, "tokenizer"):
        return CLIPTokenizer.from_pretrained(str(folder), local_files_only=True)


def _scheduler(name: str, folder: Path) -> Any:
    import diffusers

    kind: Any = getattr(diffusers, name, None)
    if not isinstance(kind, type) or not issubclass(kind, diffusers.SchedulerMixin):
        raise BadFile(f"the scheduler in {folder} is a {name}, and diffusers {diffusers.__version__} has no such scheduler")
    if not (folder / "scheduler_config.json").is_file():
        raise BadFile(f"{folder} holds no scheduler: scheduler_config.json is missing")
    with said_of(folder, "scheduler"):
        return kind.from_pretrained(str(folder), local_files_only=True)


def _misfit(pipeline: Pipeline) -> str | None:
    """Why parts don't make a pipeline that draws; None where they do."""
    network: Any = pipeline.denoiser.network
    encoder: Any = pipeline.denoiser.text_encoder
    vae: Any = pipeline.vae
    config, widths = network.config, network.config.cross_attention_dim
    for name in _MORE_THAN_PROMPTS:
        if getattr(config, name, None) is not None:
            return f"the unet is told more than a prompt ({name} is {getattr(config, name)!r}), and only prompts are read"
    if config.sample_size is None:
        return "the config.json of the unet says no sample_size: write the height and width of what it denoises there"
    if vae is not None and vae.config.latent_channels != config.in_channels:
        return f"the vae makes {vae.config.latent_channels} channels, and the unet takes {config.in_channels}"
    if set(widths if isinstance(widths, list | tuple) else [widths]) != {encoder.config.hidden_size}:
        return f"the text_encoder gives {encoder.config.hidden_size} numbers for each token, and the unet takes {widths}"
    if len(pipeline.tokenizer) > encoder.config.vocab_size:
        tokens, known = len(pipeline.tokenizer), encoder.config.vocab_size
        return f"the tokenizer has {tokens:,} tokens, and the text_encoder knows {known:,}; they are of different pipelines"
    if getattr(pipeline.scheduler, "alphas_cumprod", None) is None:
        return f"a {type(pipeline.scheduler).__name__} has no alphas_cumprod, by which it is known how much noise there is"
    return None


# ---- writing ----------------------------------------------------------------------------------------------------------------


def write_pipeline(
    folder: str | Path, denoiser: nn.Module, tokenizer: Any, scheduler: Any, vae: nn.Module | None = None
) -> Path:
    """Write a pipeline in diffusers' layout, with weights as safetensors; returns the folder.

    `diffusers.StableDiffusionPipeline.from_pretrained` reads it; where there is no VAE it has to be told so, ``vae=None``, and
    draws with ``output_type="latent"``.
    A pipeline that is in the folder already is replaced; one that was being written when the process was killed lacks its
    `model_index.json`, and isn't read.

    Args:
        denoiser: a :class:`~expunge.models.text_to_image.Denoiser` of a UNet with cross-attention and CLIP's text encoder.
        tokenizer: CLIP's.
        scheduler: of diffusers, such as a task's.
        vae: of diffusers, where latents are denoised.

    Raises:
        BadSetting: if a part is of a class that isn't written, or parts don't fit each other.
        BadFile: if `folder` is a file.
        MissingExtra: if diffusers is not installed.
    """
    try:
        from diffusers import SchedulerMixin, __version__
    except ImportError as error:
        raise missing_diffusion() from error
    folder = Path(folder)
    network, encoder = getattr(denoiser, "network", None), getattr(denoiser, "text_encoder", None)
    parts: dict[str, Any] = {"unet": network, "text_encoder": encoder, "tokenizer": tokenizer, "vae": vae}
    for part, (library, classes) in _CLASSES.items():
        if type(parts[part]).__name__ not in classes and (part != "vae" or vae is not None):
            raise BadSetting(f"a {type(parts[part]).__name__} isn't written as {part}; {library}.{classes[0]} is")
    if not isinstance(scheduler, SchedulerMixin):
        raise BadSetting(f"a {type(scheduler).__name__} isn't written as scheduler; those of diffusers are")
    assert isinstance(denoiser, Denoiser)
    if said := _misfit(Pipeline(denoiser, tokenizer, scheduler, vae)):
        raise BadSetting(f"the parts don't make a pipeline: {said}")
    if folder.exists() and not folder.is_dir():
        raise BadFile(f"{folder} is a file; give a folder for the pipeline")
    _write_parts(folder, {**parts, "scheduler": scheduler}, __version__)
    return folder


def _write_parts(folder: Path, parts: dict[str, Any], version: str) -> None:
    """All parts beside the folder's, then each in its place, and at last the index."""
    index: dict[str, Any] = {"_class_name": "StableDiffusionPipeline", "_diffusers_version": version}
    index |= {part: [None, None] for part in (*_PARTS, *_NOT_NEEDED)} | {"requires_safety_checker": False}
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as temporary, quiet():
        there = {part: each for part, each in parts.items() if each is not None}
        for part, each in there.items():
            each.save_pretrained(Path(temporary) / part)
            index[part] = [_CLASSES[part][0] if part in _CLASSES else "diffusers", type(each).__name__]
        (folder / INDEX).unlink(missing_ok=True)
        for part in there:
            _replace(Path(temporary) / part, folder / part)
    write_json(folder / INDEX, index)


def _replace(made: Path, place: Path) -> None:
    """Move files into a folder, without what readers would take for a part of them."""
    place.mkdir(exist_ok=True)
    names = {path.name for path in made.iterdir()}
    for old in [path for pattern in _READ for path in place.glob(pattern) if path.name not in names]:
        old.unlink(missing_ok=True)
    for path in made.iterdir():
        shutil.move(path, place / path.name)


# ---- holding one against another --------------------------------------------------------------------------------------------


def check_same(before: Pipeline, after: Pipeline) -> None:
    """Check that two pipelines differ in no more than what a denoiser or its text encoder learned.

    Raises:
        BadSetting: if the noise, the VAE, the architecture or the tokenizer differ; it names what.
    """
    differences = (_other_noise, _other_vae, _other_architecture, _other_tokenizer)
    if found := [said for difference in differences if (said := difference(before, after))]:
        raise BadSetting(
            f"pipelines that are compared may differ in the weights of unet and text_encoder alone: {'; '.join(found)}"
        )


def _other_noise(before: Pipeline, after: Pipeline) -> str | None:
    kinds = [each.scheduler.config.get("prediction_type", "epsilon") for each in (before, after)]
    if kinds[0] != kinds[1]:
        return f"prediction_type of the scheduler is {kinds[0]!r} before and {kinds[1]!r} after"
    old, new = before.scheduler.alphas_cumprod.float().cpu(), after.scheduler.alphas_cumprod.float().cpu()
    if old.shape != new.shape:
        return f"the scheduler has {len(old):,} times before and {len(new):,} after"
    if not torch.allclose(old, new, rtol=1e-4):
        most = int((old - new).abs().argmax())
        return (
            f"the scheduler's noise differs: alphas_cumprod at time {most} is {old[most]:.4g} before and {new[most]:.4g} after"
        )
    return None


def _other_vae(before: Pipeline, after: Pipeline) -> str | None:
    old, new = before.vae, after.vae
    if old is None or new is None:
        return None if old is new else f"there is a vae only {'after' if old is None else 'before'}"
    scales: list[Any] = [each.config.scaling_factor for each in (old, new)]  # type: ignore[union-attr]
    if scales[0] != scales[1]:
        return f"scaling_factor of the vae is {scales[0]} before and {scales[1]} after"
    return None if weights_hash(old) == weights_hash(new) else "the weights of the vae differ; copy those from before"


def _other_architecture(before: Pipeline, after: Pipeline) -> str | None:
    old, new = before.denoiser, after.denoiser
    kinds = [type(each.network) for each in (old, new)]
    if kinds[0] is not kinds[1]:
        return f"the unet is a {kinds[0].__name__} before and a {kinds[1].__name__} after"
    fields = [name for name in inspect.signature(kinds[0].__init__).parameters if name in old.network.config]  # type: ignore[operator]
    for part, names in (("network", fields), ("text_encoder", _TOLD_APART)):
        for name in names:
            values = [getattr(getattr(each, part).config, name, None) for each in (old, new)]
            if _plain(values[0]) != _plain(values[1]):
                where = "unet" if part == "network" else part
                return f"{name} of the {where} is {values[0]!r} before and {values[1]!r} after"
    shapes = [{name: each.shape for name, each in model.state_dict().items()} for model in (old, new)]
    if shapes[0] != shapes[1]:
        name = next(iter(dict(shapes[0].items() ^ shapes[1].items())))
        return f"the tensor '{name}' has another shape, or is there only once"
    return None


def _other_tokenizer(before: Pipeline, after: Pipeline) -> str | None:
    if before.tokenizer.get_vocab() != after.tokenizer.get_vocab():
        return "the vocabulary of the tokenizer differs; copy the tokenizer from before"
    for name in ("pad_token_id", "model_max_length"):
        values = [getattr(each.tokenizer, name) for each in (before, after)]
        if values[0] != values[1]:
            return f"{name} of the tokenizer is {values[0]} before and {values[1]} after"
    return None


def _plain(value: Any) -> Any:
    """Lists as tuples: both are written alike."""
    return tuple(map(_plain, value)) if isinstance(value, list | tuple) else value
