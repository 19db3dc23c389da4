"""Diffusion models: losses by hand, what is drawn, and networks of every kind that diffusers has."""

import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DiTTransformer2DModel, UNet2DModel

import tiny_diffusion
from expunge.diffusion import Sampling, concept_split, numbered, prompted, seeds_for, token_encoder
from expunge.engine import Engine
from expunge.errors import BadSetting
from expunge.methods import Retrain
from expunge.models.text_to_image import Denoiser, small_clip_tokenizer, small_text_to_image
from expunge.optimizers import Optimizer
from expunge.tasks import DiffusionTask

STEP = Retrain(epochs=1, optimizer=Optimizer("adamw", 1e-2))


def test_a_trained_model_draws_what_it_is_asked_for():
    task, model = tiny_diffusion.task(), tiny_diffusion.trained()
    numbers = torch.arange(4).repeat_interleave(16)
    drawn = task.draw(model, tiny_diffusion.concepts().ask(numbers), seeds_for("show", 64))
    assert drawn.min() >= -1 and drawn.max() <= 1
    assert (tiny_diffusion.shown(drawn) == numbers).float().mean() > 0.95
    unasked = task.draw(model, tiny_diffusion.concepts().ask_for_nothing(64), seeds_for("show", 64))
    assert {0, 1, 2, 3} <= set(tiny_diffusion.shown(unasked).tolist())


def test_losses_are_mean_squared_errors_of_each_image():
    task = tiny_diffusion.task()
    batch = next(iter(tiny_diffusion.split().retain))
    outputs = batch[3] + torch.arange(len(batch[0]), dtype=torch.float).view(-1, 1, 1, 1)
    expected = torch.arange(len(batch[0]), dtype=torch.float).square()
    for values in (task.losses(outputs, batch), task.scores(outputs, batch), task.divergence(outputs, batch[3])):
        assert torch.allclose(values, expected)
    assert torch.equal(task.groups(batch), batch[4]) and task.group_name(2) == "chequers"


def test_what_was_trained_on_has_less_loss_than_noise_and_features_have_a_shape():
    task, model, split = tiny_diffusion.task(), tiny_diffusion.trained(), tiny_diffusion.split()
    assert task.evaluate(model, split.holdout)["mse"] < 0.2
    assert task.evaluate(task.new_model(), split.holdout)["mse"] > 0.5
    batch = next(iter(split.retain))
    features = task.features(model, batch)
    assert features.shape == (len(batch[0]), tiny_diffusion.WIDTH)


def test_images_of_another_shape_or_concept_are_refused():
    task = tiny_diffusion.task()
    with pytest.raises(BadSetting, match=r"the model denoises \(1, 4, 4\), and these images are \(3, 4, 4\)"):
        task.noised(torch.zeros(2, 3, 4, 4), torch.tensor([0, 1]))
    with pytest.raises(BadSetting, match="concepts have numbers from 0 to 3"):
        task.noised(torch.zeros(2, 1, 4, 4), torch.tensor([0, 4]))
    with pytest.raises(BadSetting, match=r"\(channels, height, width\), not \(4, 4\)"):
        DiffusionTask(task.factory, task.concepts, (4, 4))


# ---- networks of diffusers --------------------------------------------------------------------------------------------------


def small_text():
    tokenizer = small_clip_tokenizer(["a photo of one", "a photo of two"])
    concepts = prompted(["one", "two"], token_encoder(tokenizer, 8), ["a photo of {}"])
    return small_text_to_image(tokenizer, channels=3, size=8, widths=(8, 16), length=8), concepts


def class_unet():
    network = {"in_channels": 3, "out_channels": 3, "block_out_channels": (8,), "norm_num_groups": 4, "layers_per_block": 1}
    blocks = {"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",), "num_class_embeds": 3}
    return lambda: Denoiser(UNet2DModel(sample_size=8, attention_head_dim=4, **network, **blocks)), numbered(["one", "two"])


def class_transformer():
    shape = {"sample_size": 8, "patch_size": 2, "in_channels": 3, "out_channels": 6, "num_layers": 1}
    heads = {"num_attention_heads": 2, "attention_head_dim": 8, "num_embeds_ada_norm": 1000, "norm_num_groups": 4}
    return lambda: Denoiser(DiTTransformer2DModel(**shape, **heads)), numbered(["one", "two"])


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("world", [small_text, class_unet, class_transformer])
def test_networks_of_diffusers_are_trained_and_draw(world, kind):
    factory, concepts = world()
    task = DiffusionTask(
        factory, concepts, (3, 8, 8), DDIMScheduler(prediction_type=kind), Sampling(steps=2, guidance=1.5, eta=1.0)
    )
    images = torch.rand(12, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    split = concept_split(task.noised(images, torch.arange(12) % 2, batch_size=4), "two")
    engine = Engine(progress=False)
    model = STEP.train(task, split.everything, engine)
    assert engine.history[-1]["step"] == 3
    drawn = task.draw(model, concepts.ask(torch.tensor([0, 1])), seeds_for("show", 2))
    assert drawn.shape == (2, 3, 8, 8) and drawn.isfinite().all()
    if hasattr(model.network, "mid_block"):
        assert task.features(model, next(iter(split.retain))).dim() == 2
    else:
        with pytest.raises(BadSetting, match="a DiTTransformer2DModel has no middle block"):
            task.features(model, next(iter(split.retain)))


def test_prompts_read_once_are_prompts_read_each_time():
    factory, concepts = small_text()
    model = factory().eval()
    noisy, times = torch.randn(2, 3, 8, 8), torch.tensor([3, 700])
    asked = concepts.ask(torch.tensor([0, 1]))
    assert torch.equal(model(noisy, times, asked), model(noisy, times, model.read(asked)))
    assert not torch.equal(model(noisy, times, asked)[0], model(noisy, times, asked.flip(0))[0])


def test_latents_are_denoised_where_there_is_a_vae():
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    vae = AutoencoderKL(block_out_channels=(4, 4), norm_num_groups=4, latent_channels=3, scaling_factor=0.5, **blocks).eval()
    factory, concepts = class_unet()
    task = DiffusionTask(factory, concepts, (3, 8, 8), sampling=Sampling(steps=2), vae=vae)
    images = torch.rand(4, 3, 16, 16) * 2 - 1
    latents = task.noised(images, torch.tensor([0, 1, 0, 1]))
    assert latents.images.shape == (4, 3, 8, 8)
    with torch.no_grad():
        assert torch.allclose(latents.images, vae.encode(images).latent_dist.mean * 0.5, atol=1e-6)
    assert task.draw(factory(), torch.tensor([0]), [0]).shape == (1, 3, 16, 16)


def test_small_models_that_cannot_be_built_are_refused():
    tokenizer = small_clip_tokenizer(["one"])
    with pytest.raises(BadSetting, match=r"widths must be multiples of 8, and a size of 9 be divisible by 2"):
        small_text_to_image(tokenizer, size=9)


def test_the_small_tokenizer_is_the_same_whatever_the_order_of_its_texts():
    """Numbers of tokens follow from the words alone: else no run could go on from another's checkpoint."""
    texts = [f"{word} of nothing" for word in ("seven", "one", "three")]
    tokenizers = [small_clip_tokenizer(order) for order in (texts, texts[::-1])]
    first, second = ([each(text).input_ids for text in texts] for each in tokenizers)
    assert first == second and first[1][1] < first[0][1] < first[2][1]  # one, seven, three


def test_the_small_tokenizer_reads_prompts_word_by_word():
    tokenizer = small_clip_tokenizer(["a photo of seven", "A picture of seven"])
    tokens = tokenizer("a photo of SEVEN").input_ids
    assert tokenizer.convert_ids_to_tokens(tokens)[1:-1] == ["a</w>", "photo</w>", "of</w>", "seven</w>"]
    assert tokenizer.decode(tokenizer("æ 7: sevens").input_ids, skip_special_tokens=True) == "æ 7 : sevens"
    encoded = token_encoder(tokenizer, 6)(["", "a photo of seven"])
    assert encoded.shape == (2, 6) and encoded[0].tolist() == [tokenizer.bos_token_id] + [tokenizer.eos_token_id] * 5


def test_noise_of_another_scheduler_is_taken_over_and_latents_are_not_cut_off():
    from diffusers import FlowMatchEulerDiscreteScheduler, PNDMScheduler

    def task(scheduler, vae=None):
        return DiffusionTask(lambda: torch.nn.Linear(1, 1), numbered(["a", "b"]), (1, 4, 4), scheduler, vae=vae)

    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=1)
    published = PNDMScheduler(beta_start=0.001, beta_end=0.01)
    taken = task(published).scheduler
    assert torch.equal(taken.alphas_cumprod, published.alphas_cumprod)
    assert not taken.config.clip_sample  # PNDM never cuts off
    assert task(None).scheduler.config.clip_sample and task(DDIMScheduler()).scheduler.config.clip_sample
    assert not task(None, vae).scheduler.config.clip_sample and not task(DDIMScheduler(), vae).scheduler.config.clip_sample
    with pytest.raises(BadSetting, match="FlowMatchEulerDiscreteScheduler adds noise in another way"):
        task(FlowMatchEulerDiscreteScheduler())
