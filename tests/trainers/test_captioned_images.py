"""trainers/captioned_images.py: pixels, order and captions as the unet gets them."""

from itertools import islice

import numpy as np
import pytest
import torch
from PIL import Image

from trainers.captioned_images import Captions, batch_seed, prepare, row_captions, row_order


def test_transparent_paper_is_white_and_not_black():
    image = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    assert prepare(image, 8, 1)[0, 4, 4] == 255
    assert prepare(image, 8, 1)[0, 0, 0] == 0


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_white_image_of_any_mode_becomes_white(mode, channels):
    pixels = prepare(Image.new("RGB", (5, 5), "white").convert(mode), 4, channels)
    assert pixels.shape == (channels, 4, 4)
    assert (pixels == 255).all()


def test_an_oblong_image_is_padded_with_paper_and_nothing_is_cut():
    image = Image.new("L", (40, 20), 0)
    pixels = prepare(image, 20, 1)[0]
    assert (pixels[5:15] == 0).all()
    assert (pixels[:5] == 255).all() and (pixels[15:] == 255).all()


def test_a_thin_stroke_survives_shrinking():
    image = Image.new("L", (512, 512), 255)
    image.paste(0, (0, 250, 512, 256))
    assert prepare(image, 32, 1).min() < 200


def test_every_epoch_has_every_row_once():
    order = row_order(rows=10, batch_size=4, seed=1, rank=0, world=1)
    rows = [row for batch in islice(order, 5) for row in batch]
    assert sorted(rows[:10]) == sorted(rows[10:]) == list(range(10))
    assert rows[:10] != rows[10:]


@pytest.mark.parametrize("rows, batch_size, world", [(10, 2, 2), (7, 2, 3), (3, 4, 2), (1, 1, 2)])
def test_the_processes_of_a_step_share_what_one_process_would_see(rows, batch_size, world):
    alone = row_order(rows, batch_size * world, 5, 0, 1)
    shares = [row_order(rows, batch_size, 5, rank, world) for rank in range(world)]
    for _ in range(6):
        assert next(alone) == [row for share in shares for row in next(share)]


def test_the_order_from_the_middle_is_the_order_from_the_start():
    whole = list(islice(row_order(10, 3, 2, 1, 2), 9))
    assert list(islice(row_order(10, 3, 2, 1, 2, first=4), 5)) == whole[4:]


def test_no_two_batches_or_processes_share_their_noise():
    seeds = {batch_seed(seed, batch, rank) for seed in range(3) for batch in range(50) for rank in range(4)}
    assert len(seeds) == 3 * 50 * 4


@pytest.mark.parametrize("text", ["", "  ", None, [], ["fire", ""], ["fire", None]])
def test_an_empty_caption_is_an_error_that_names_its_row(text):
    with pytest.raises(ValueError, match="row 1 has an empty caption"):
        row_captions({"text": ["fire", text]}, "text")


@pytest.fixture(scope="module")
def parts():
    from transformers import AutoTokenizer, BertConfig, BertModel

    from models.text_to_glyph import TextPooling, packaged_minilm

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return BertModel(BertConfig(**sizes)).eval(), AutoTokenizer.from_pretrained(packaged_minilm()), TextPooling(16)


def picked(captions, proportion, count=400, rows=2):
    generator = torch.Generator().manual_seed(0)
    return captions.pick(torch.arange(count) % rows, generator, proportion, 0.0)[0]


def test_a_row_gets_only_its_own_captions_and_each_of_them(parts):
    captions = Captions([["fire", "flame"], ["water"]], *parts, keep_tokens=False, quiet=True)
    own = [{tuple(vector.tolist()) for vector in picked(captions, 0.0)[row::2]} for row in (0, 1)]
    fire, flame, water = (tuple(vector.tolist()) for vector in captions.pooled[1:])
    assert own == [{fire, flame}, {water}]


@pytest.mark.parametrize("proportion", [0.0, 0.25, 1.0])
def test_the_empty_caption_comes_as_often_as_asked(parts, proportion):
    captions = Captions([["fire", "flame"], ["water"]], *parts, keep_tokens=False, quiet=True)
    empty = (picked(captions, proportion) == captions.pooled[0]).all(1).float().mean()
    assert abs(empty - proportion) < 0.08


def test_token_states_are_those_of_the_caption_alone(parts):
    encoder, tokenizer, pooling = parts
    texts = [["a long caption of many words"], ["fire"]]
    captions = Captions(texts, encoder, tokenizer, pooling, keep_tokens=True, quiet=True)
    _, states, mask = captions.pick(torch.tensor([1]), torch.Generator().manual_seed(0), 0.0, 0.0)
    with torch.no_grad():
        alone = encoder(**tokenizer("fire", return_tensors="pt")).last_hidden_state[0]
    assert mask.sum() == len(alone)
    assert np.allclose(states[0, mask[0].bool()], alone, atol=1e-2)  # kept in float16
