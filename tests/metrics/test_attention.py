"""Maps by word are the attention that the model has; the drawing is the one without maps; nothing is left behind."""

import re
from html import unescape

import numpy as np
import pytest
import tiny_sd
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from peft import LoraConfig, inject_adapter_in_model
from PIL import Image
from tiny_run import save_tiny_run
from transformers import AutoTokenizer

from generate import draw, load
from metrics.attention import (
    Maps,
    _Recorder,
    _word_sheet,
    attention_maps,
    attention_page,
    convolutions,
    recording,
    token_maps,
    words_of,
)
from models.text_to_glyph import packaged_minilm
from models.tiny_stable_diffusion import clip_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

ATTENDING = ("stable diffusion", "lora", "glyphs by token")
MODELS = (*ATTENDING, "glyphs by vector")
STEPS = {"num_inference_steps": 2}
PROMPT = "forest fire, at night"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Pipelines as generate.py opens them, by the names of MODELS."""
    folder = tmp_path_factory.mktemp("models")
    base = tiny_sd.save_base(folder / "base")
    tiny_sd.save_lora(tiny_sd.save_record(folder / "lora", base), base)
    by_token = load(save_tiny_run(folder / "glyphs"))
    torch.manual_seed(0)
    by_token.unet = UNet2DConditionModel.from_config(
        by_token.unet.config,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        attention_head_dim=4,
        encoder_hid_dim=16,
        encoder_hid_dim_type="text_proj",
    ).eval()
    return dict(zip(MODELS, (load(base), load(folder / "lora"), by_token, load(folder / "glyphs")), strict=True))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """One that cuts words into their bytes, and one that has whole words and pieces."""
    return {
        "clip": clip_tokenizer(tmp_path_factory.mktemp("tokenizer")),
        "bert": AutoTokenizer.from_pretrained(packaged_minilm()),
    }


@pytest.mark.parametrize("model", MODELS)
def test_the_drawing_with_maps_is_the_one_without(models, model):
    [without] = draw(models[model], [PROMPT], [7], **STEPS)
    assert attention_maps(models[model], PROMPT, 7, draw, **STEPS).drawing.tobytes() == without.tobytes()


@pytest.mark.parametrize("model", ATTENDING)
def test_the_shares_of_a_position_sum_to_one_over_all_tokens(models, model):
    with recording(models[model].unet, []) as (attention, _):
        list(draw(models[model], [PROMPT], [7], **STEPS))
    side = models[model].unet.config.sample_size
    maps = token_maps(attention, side, side)
    assert maps.min() >= 0
    assert np.allclose(maps.sum(0), 1, atol=1e-4)


@pytest.mark.parametrize("size", [{}, {"height": 24, "width": 40}])
@pytest.mark.parametrize("model", ATTENDING)
def test_maps_are_shares_of_the_drawings_shape(models, model, size):
    seen = attention_maps(models[model], PROMPT, 7, draw, **STEPS, **size)
    assert seen.words == ["forest", "fire", "at", "night"]
    assert seen.maps.shape == (4, seen.drawing.height, seen.drawing.width)
    assert ((seen.maps > 0) & (seen.maps < 1)).all()


def test_a_map_stands_where_its_positions_are():
    one = torch.zeros(6, 2)
    one[4, 1] = 1  # of 2 x 3 positions, the one below the middle attends to the second token
    assert token_maps({6: (one, 1)}, 2, 3).tolist() == [[[0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 1, 0]]]
    mixed = token_maps({6: (one, 1), 24: (torch.zeros(24, 2), 1)}, 4, 6)
    assert mixed.shape == (2, 4, 6)
    assert (mixed == mixed.max()).nonzero().tolist() == [[1, 3, 2], [1, 3, 3]]
    assert mixed.max() == 0.75 / 2  # between two positions, and the mean of two layers


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lora", [False, True])
def test_what_is_recorded_is_what_the_layer_computes_with(lora, masked):
    torch.manual_seed(0)
    layer = Attention(query_dim=8, cross_attention_dim=6, heads=1, dim_head=8).eval()
    if lora:
        config = LoraConfig(r=2, target_modules=["to_q", "to_k", "to_v"], init_lora_weights=False)
        inject_adapter_in_model(config, layer)
    hidden, context = torch.randn(2, 5, 8), torch.randn(2, 3, 6)
    mask = torch.tensor([[[0.0, 0, 0]], [[0, 0, -10000]]]) if masked else None
    attention = {}
    output = _Recorder(AttnProcessor2_0(), attention)(layer, hidden, context, mask)
    shares, count = attention[5]
    assert count == 1
    assert torch.allclose(layer.to_out[0](shares @ layer.to_v(context[-1])), output[-1], atol=1e-5)
    assert not masked or shares[:, 2].max() == 0


@pytest.mark.parametrize("model", ATTENDING)
def test_the_half_without_the_prompt_is_left_out(models, model):
    """In the first step nothing but that half depends on the negative prompt."""
    one = {"num_inference_steps": 1, "guidance_scale": 5.0}
    plain, other, prompt = (
        attention_maps(models[model], words, 7, draw, negative_prompt=negative, **one).maps
        for words, negative in (("fire", ""), ("fire", "some rain"), ("moon", ""))
    )
    assert np.allclose(plain, other, rtol=1e-4)
    assert not np.allclose(plain, prompt, rtol=1e-4)


def test_a_lora_changes_the_maps(models):
    plain, tuned = (attention_maps(models[name], PROMPT, 7, draw, **STEPS).maps for name in ATTENDING[:2])
    assert not np.allclose(plain, tuned, rtol=0.01)


def test_only_the_chosen_resolutions_count(models):
    pipe = models["glyphs by token"]  # its cross-attentions are at 4 positions a side
    assert np.array_equal(*(attention_maps(pipe, "fire", 7, draw, resolutions=r, **STEPS).maps for r in (None, [4])))
    with pytest.raises(ValueError, match=r"height of 8 positions: there are \[4\]"):
        attention_maps(pipe, "fire", 7, draw, resolutions=[4, 8], **STEPS)


@pytest.mark.parametrize("tokenizer", ["clip", "bert"])
@pytest.mark.parametrize(
    "prompt, words",
    [
        ("forest fire", ["forest", "fire"]),
        ("antidisestablishmentarianism", ["antidisestablishmentarianism"]),
        ("fire, fire; (rain)!", ["fire", "fire", "rain"]),
        ("don't well-known -x- 'quoted'", ["don't", "well-known", "x", "quoted"]),
        ("森林 火", ["森林", "火"]),
        ("Café cafe\u0301  FIRE\n3rd", ["Café", "cafe\u0301", "FIRE", "3rd"]),
        ("हिन्दी", ["हिन्दी"]),
        ("", []),
        (" , ... !", []),
        ("<script>", ["script"]),
    ],
)
def test_tokens_are_joined_into_the_words_of_the_prompt(tokenizers, tokenizer, prompt, words):
    seen, unseen = words_of(tokenizers[tokenizer], prompt, 77)
    assert [word for word, _ in seen] == words
    assert not unseen


@pytest.mark.parametrize("tokenizer, places", [("clip", [1, 2, 3, 4, 5, 6, 7]), ("bert", [1, 2, 3])])
def test_a_word_has_all_its_tokens_and_no_others(tokenizers, tokenizer, places):
    [(_, found), (_, after)], _ = words_of(tokenizers[tokenizer], "kanjify, a", 77)
    assert found == places
    assert after == [places[-1] + 2]  # the comma is between


def test_what_the_encoder_does_not_take_is_told(models, tmp_path):
    prompt = " ".join(["word"] * 15 + ["last"] + ["behind"] * 184)
    seen = attention_maps(models["stable diffusion"], prompt, 7, draw, **STEPS)
    assert seen.words == [*["word"] * 15, "last", "behind", "behind"]  # 75 tokens of a letter each
    assert seen.unseen == ["behind"] * 182
    page = attention_page(models["stable diffusion"], ["x"], [prompt], [7], draw, tmp_path, [], **STEPS)
    assert "not seen: behind behind" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("failing", [False, True])
def test_nothing_is_left_on_the_model(models, failing):
    unet = models["stable diffusion"].unet
    before = dict(unet.attn_processors)

    def draw_or_fail(*args, **settings):
        if failing:
            raise RuntimeError("out of memory")
        return draw(*args, **settings)

    try:
        attention_maps(models["stable diffusion"], "fire", 7, draw_or_fail, **STEPS)
    except RuntimeError:
        assert failing
    assert unet.attn_processors == before
    assert not any(module._forward_hooks for module in unet.modules())


def test_features_are_those_of_the_last_step(models):
    pipe, outputs = models["glyphs by vector"], []
    hook = pipe.unet.conv_out.register_forward_hook(lambda module, inputs, output: outputs.append(output))
    seen = attention_maps(pipe, "fire", 7, draw, layers=["conv_out"], num_inference_steps=3)
    hook.remove()
    assert len(outputs) == 3
    assert np.array_equal(seen.features["conv_out"], outputs[-1][-1])


def test_each_block_shows_a_convolution_in_the_order_of_the_network(models):
    seen = attention_maps(models["glyphs by token"], "fire", 7, draw, **STEPS)
    assert [re.sub(r"\.resnets.*", "", name) for name in seen.features] == (
        ["conv_in", "down_blocks.0", "down_blocks.1", "mid_block", "up_blocks.0", "up_blocks.1"]
    )


def test_a_convolution_with_a_lora_is_shown_under_its_own_name_with_the_lora():
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8,),
        down_block_types=("DownBlock2D",),
        up_block_types=("UpBlock2D",),
        mid_block_type=None,
        layers_per_block=1,
        norm_num_groups=4,
    )
    names = list(convolutions(unet))
    unet.add_adapter(LoraConfig(r=2, target_modules=["conv2"]))
    assert list(convolutions(unet)) == names
    assert hasattr(convolutions(unet)["down_blocks.0.resnets.0.conv2"], "lora_A")


def test_an_unknown_layer_is_told_with_those_near_it_before_drawing(models, tmp_path):
    near = r"no convolution down_blocks\.0\.conv1; near that: .*down_blocks\.0\.resnets\.0\.conv1"
    with pytest.raises(ValueError, match=near):
        attention_page(models["lora"], ["x"], ["x"], [0], None, tmp_path, layers=["down_blocks.0.conv1"])


@pytest.mark.parametrize("model", MODELS)
def test_the_page_shows_pictures_that_are_there(models, model, tmp_path):
    words, prompts = ["<script>alert(1)</script>", "雨"], ["<script>alert(1)</script> & “$fire”", ""]
    page = attention_page(models[model], words, prompts, [1, 2], draw, tmp_path, ["conv_in", "conv_out"], **STEPS)
    text = page.read_text(encoding="utf-8")
    assert page == tmp_path / "attention.html"
    assert "<script" not in text
    assert all(word in unescape(text) for word in (*words, *prompts))
    assert "//" not in text  # nothing is from elsewhere
    links = re.findall(r'src="([^"]*)"', text)
    assert len(links) == 2 * 3
    assert sorted(links) == sorted(f"attention/{file.name}" for file in (tmp_path / "attention").iterdir())
    for link in links:
        Image.open(tmp_path / link).load()
    told = re.findall("No maps by word: [^.]*", unescape(text))
    if model in ATTENDING:
        assert told == ["No maps by word: the model sees no word of this prompt"]  # of the second, which is empty
    else:
        assert (
            told == ["No maps by word: this model has no cross-attention, its text reaches the unet as one vector"] * 2
        )


def test_the_heat_is_where_the_map_is_highest():
    """Of a white drawing, what a word is attended to most is red, and what least is still white."""
    shares = np.zeros((1, 128, 128), np.float32)
    shares[0, 80:, 100:] = 0.2
    white = Image.new("L", (128, 128), 255)
    sheet = np.asarray(_word_sheet(Maps(white, ["fire"], shares, [], True, {}))).astype(int)
    rows, columns = np.nonzero(sheet[..., 0] - sheet[..., 2] > 100)
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (48, 28)
    assert columns.min() == 12 + 130 + 12 + 1 + 100  # margin, drawing, gap, line
