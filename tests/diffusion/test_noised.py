"""Images with noise: closed forms, and what is the same each time."""

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.configuration_utils import FrozenDict

import tiny_diffusion
from expunge.diffusion import NoisedImages, concept_split
from expunge.diffusion.noised import joined_images
from expunge.errors import BadRequest, BadSetting
from expunge.split import stream_digest


def stream(unasked=0.0, batch_size=8, scheduler=None, count=20):
    images, numbers = tiny_diffusion.images(count, seed=0)
    scheduler = scheduler or DDIMScheduler(beta_schedule="squaredcos_cap_v2")
    return NoisedImages(images, numbers, tiny_diffusion.concepts(), scheduler, batch_size, unasked)


def epoch(noised, seed=0):
    return list(noised.epoch(torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_noise_and_targets_give_the_images_back(kind):
    noised = stream(scheduler=DDIMScheduler(beta_schedule="squaredcos_cap_v2", prediction_type=kind))
    found = []
    for noisy, times, _, targets, numbers in epoch(noised):
        kept = noised.scheduler.alphas_cumprod[times].view(-1, 1, 1, 1)
        root, rest = kept.sqrt(), (1 - kept).sqrt()
        image = root * noisy - rest * targets if kind == "v_prediction" else (noisy - rest * targets) / root
        sure = kept.flatten() > 0.01  # of the others next to nothing is left of the image
        found += (image - tiny_diffusion.patterns()[numbers])[sure].abs().amax((1, 2, 3)).tolist()
    assert len(found) > 15 and max(found) < 0.3  # the patterns are a little blurred


def test_what_else_is_predicted_is_refused():
    with pytest.raises(BadSetting, match=r"'sample' are not read; prediction_type is 'epsilon' or 'v_prediction'"):
        next(iter(stream(scheduler=DDIMScheduler(prediction_type="sample"))))


def test_a_digest_does_not_depend_on_the_order_of_what_was_left_to_defaults():
    """The scheduler lists it in the order of a set, which is another one in each process."""
    noised = stream()
    digest, listed = noised.digest, noised.scheduler.config["_use_default_values"]
    noised.scheduler._internal_dict = FrozenDict({**noised.scheduler.config, "_use_default_values": listed[::-1]})
    assert len(listed) > 1 and noised.digest == digest
    assert stream(scheduler=DDIMScheduler(beta_schedule="linear")).digest != digest


def test_audits_see_the_same_noise_each_time_and_training_does_not():
    noised = stream()
    for first, second in zip(noised, noised, strict=True):
        assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
    once, again, otherwise = epoch(noised), epoch(noised), epoch(noised, seed=1)
    assert all(torch.equal(one[0], two[0]) for one, two in zip(once, again, strict=True))
    assert not torch.equal(once[0][0], otherwise[0][0])
    assert sorted(torch.cat([each[4] for each in once]).tolist()) == sorted(noised.numbers.tolist())


def test_audits_spread_times_evenly():
    times = torch.cat([batch[1] for batch in stream(count=100)])
    assert times.min() < 20 and times.max() > 980
    counts = torch.histc(times.float(), 10, 0, 1000)
    assert counts.min() >= 8 and counts.max() <= 12


def test_a_share_of_training_asks_for_nothing():
    nothing = tiny_diffusion.concepts().nothing

    def silent(batches):
        asked = torch.cat([batch[2] for batch in batches])
        return (asked == nothing).all(1).float().mean().item()

    assert silent(epoch(stream(unasked=0.0))) == 0 and silent(epoch(stream(unasked=1.0))) == 1
    assert 0.2 < silent(epoch(stream(unasked=0.4, count=200))) < 0.6
    assert silent(stream(unasked=1.0)) == 0  # audits always ask
    assert silent(epoch(stream(unasked=1.0).asked(1.0))) == 0


def test_training_asks_in_every_way_and_audits_in_the_first():
    concepts, noised = tiny_diffusion.concepts(), stream(count=100)

    def ways(batches):
        asked = [(batch[2][:, None] == concepts.conditions[batch[4]]).all(2).int().argmax(1) for batch in batches]
        return set(torch.cat(asked).tolist())

    assert ways(noised) == {0} and ways(epoch(noised)) == {0, 1}


def test_digests_tell_streams_apart():
    digests = {stream_digest(each) for each in (stream(), stream(0.1), stream(batch_size=4), stream(count=21))}
    digests.add(stream_digest(stream(scheduler=DDIMScheduler())))
    assert len(digests) == 5 and stream_digest(stream()) == stream_digest(stream())
    assert stream_digest(stream().with_batch_size(4)) == stream_digest(stream(batch_size=4))


def test_streams_that_make_no_sense_are_refused():
    images, numbers = tiny_diffusion.images(8, seed=0)
    concepts, scheduler = tiny_diffusion.concepts(), stream().scheduler
    with pytest.raises(BadSetting, match="8 images need as many numbers, not 7"):
        NoisedImages(images, numbers[:7], concepts, scheduler)
    with pytest.raises(BadSetting, match=r"a share from 0 to 1, not 1\.5"):
        NoisedImages(images, numbers, concepts, scheduler, unasked=1.5)


# ---- requests -------------------------------------------------------------------------------------------------------------


def test_a_request_tells_what_goes_from_what_stays():
    split = concept_split(stream(), "columns", holdout=stream(count=12))
    assert set(split.forget.numbers.tolist()) == {1} and set(split.retain.numbers.tolist()) == {0, 2, 3}
    assert set(split.holdout.numbers.tolist()) == {0, 2, 3} and set(split.holdout_forget.numbers.tolist()) == {1}
    assert (split.concept, split.kind) == (1, True) and split.anchor in (0, 2, 3)
    whole = split.everything
    assert whole.examples == 20 and sorted(whole.numbers.tolist()) == sorted(stream().numbers.tolist())
    assert joined_images([whole]).examples == 20
    assert concept_split(stream(), "columns", anchor="corner").anchor == 3


@pytest.mark.parametrize(
    ("concept", "anchor", "error", "message"),
    [
        ("spots", None, BadSetting, "no concept 'spots'; there are rows, columns, chequers, corner"),
        ("rows", "rows", BadRequest, "the anchor 'rows' must be among what stays"),
    ],
)
def test_requests_that_make_no_sense_are_refused(concept, anchor, error, message):
    with pytest.raises(error, match=message):
        concept_split(stream(), concept, anchor=anchor)


def test_a_concept_that_nothing_or_everything_shows_is_refused():
    with pytest.raises(BadRequest, match="no image shows 'corner'"):
        concept_split(stream().where(torch.tensor([0, 1, 2])), "corner")
    with pytest.raises(BadRequest, match="every image shows 'corner'"):
        concept_split(stream().where(torch.tensor([3, 7])), "corner")
