"""Where in a drawing each word acts, and what the convolutions make of it: pictures of a diffusion model at work."""

import difflib
import html
import os
import re
import unicodedata
from contextlib import contextmanager
from pathlib import Path
from string import Template
from typing import NamedTuple
from urllib.parse import quote

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from tqdm import tqdm

from sheet import contact_sheet, on_paper

CHANNELS = 32  # of a convolution that are shown
CELL = 64  # pixels a side of one
GAP = 3  # pixels of paper around it
HEAT = (255, 45, 0)  # over a drawing, where a word is attended to most


class Maps(NamedTuple):
    """What was seen while one image was drawn."""

    drawing: Image.Image
    words: list[str]  # those that the model saw
    maps: np.ndarray  # (words, height, width): each pixel's share of attention to the word, 0 to 1
    unseen: list[str]  # the words behind the text encoder's limit
    attended: bool  # whether there is cross-attention
    features: dict[str, np.ndarray]  # by convolution, in the order in which they ran: (channels, height, width)


def attention_maps(pipe, prompt, seed, draw, layers=None, resolutions=None, **settings):
    """Draw `prompt` and record where each of its words is attended to, as Maps.

    pipe: a StableDiffusionPipeline or a TextToGlyphPipeline, with or without a LoRA; nothing is left on it.
    draw: the function of generate.py, so that the drawing is the one that it gives for `seed` and `settings`.
    layers: names of the unet's convolutions whose last output is kept; by default one of each block (see convolutions).
    resolutions: the heights, in positions, of the cross-attentions to look at; by default all.

    A word's map is the mean over the heads, layers and steps of the attention's probabilities for its tokens, as by
    Tang et al. 2022 (DAAM, arXiv:2210.04885); with guidance, of the half that sees the prompt. A word of several tokens
    has the mean of theirs. Without cross-attention there are no words and no maps.
    Raises ValueError for a layer or a resolution that the unet does not have.
    """
    with recording(pipe.unet, layers) as (attention, features):
        [drawing] = draw(pipe, [prompt], [seed], **settings)
    if not attention:
        return Maps(drawing, [], np.zeros((0, drawing.height, drawing.width), np.float32), [], False, features)
    # of a Stable Diffusion the VAE, of a TextToGlyphPipeline the patches make several pixels one position
    factor = getattr(pipe, "vae_scale_factor", None) or pipe.patch_size
    tokens = token_maps(attention, drawing.height // factor, drawing.width // factor, resolutions)
    limit = getattr(pipe.text_encoder.config, "max_position_embeddings", 512)
    words, unseen = words_of(pipe.tokenizer, prompt, min(pipe.tokenizer.model_max_length, limit))
    size = (drawing.height, drawing.width)
    maps = np.zeros((len(words), *size), np.float32)
    for number, (_, places) in enumerate(words):
        maps[number] = F.interpolate(tokens[places].mean(0)[None, None], size, mode="bilinear")[0, 0]
    return Maps(drawing, [word for word, _ in words], maps, unseen, True, features)


def token_maps(attention, height, width, resolutions=None):
    """Mean of what was recorded: (tokens, rows, columns) at the finest resolution; over the tokens they sum to 1.

    attention: {number of positions: (sum of maps (positions, tokens), how many)}; height and width: of the unet's
    input, in positions.
    """
    grids = {}
    for positions, (total, count) in attention.items():
        rows, columns = height, width
        while rows * columns > positions:  # each block of a unet halves both, rounded up
            rows, columns = -(-rows // 2), -(-columns // 2)
        grids[rows] = (total.T.reshape(1, -1, rows, columns), count)
    if unknown := set(resolutions or ()) - set(grids):
        raise ValueError(f"no cross-attention at a height of {min(unknown)} positions: there are {sorted(grids)}")
    chosen = [grids[rows] for rows in resolutions or grids]
    finest = max((total.shape[2:] for total, _ in chosen), key=lambda sides: sides[0])
    return sum(F.interpolate(total, finest, mode="bilinear")[0] for total, _ in chosen) / sum(n for _, n in chosen)


def words_of(tokenizer, prompt, limit):
    """The words of `prompt` that fit into `limit` tokens, as [(word, [places of its tokens])], and those that do not.

    A word is letters, marks and digits of any script, with ' and - inside: punctuation is none, and Japanese, which
    has no spaces, is one until the next sign. A token that spans two words belongs to both.
    """
    spans = tokenizer(prompt, truncation=True, max_length=limit, return_offsets_mapping=True)["offset_mapping"]
    kinds = "".join("w" if unicodedata.category(char)[0] in "LMN" else char for char in prompt)
    seen, unseen = [], []
    for match in re.finditer(r"w+(?:['’-]w+)*", kinds):  # any w of the prompt is a letter
        start, end = match.span()
        places = [place for place, (first, last) in enumerate(spans) if first < end and last > start]
        if places:
            seen.append((prompt[start:end], places))
        else:
            unseen.append(prompt[start:end])
    return seen, unseen


class _Recorder:
    """An attention processor that records the probabilities of a cross-attention, and lets `own` do the work.

    That another one computes the output is what keeps the drawing as it is, whichever algorithm it has; and the linear
    layers, which are where peft puts a LoRA, are called as they are.
    """

    def __init__(self, own, attention):
        self.own, self.attention = own, attention

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, **options):
        if encoder_hidden_states is not None:
            # one image is drawn: with guidance it is a batch of two, without the prompt and with it
            query, key = attn.to_q(hidden_states[-1:]), attn.to_k(encoder_hidden_states[-1:])
            mask = None if attention_mask is None else attention_mask[-1:]
            mask = attn.prepare_attention_mask(mask, key.shape[1], 1)
            query, key = attn.head_to_batch_dim(query), attn.head_to_batch_dim(key)
            probabilities = attn.get_attention_scores(query, key, mask)  # (heads, positions, tokens)
            total, count = self.attention.get(query.shape[1], (0, 0))
            self.attention[query.shape[1]] = (total + probabilities.float().mean(0).cpu(), count + 1)
        return self.own(attn, hidden_states, encoder_hidden_states, attention_mask, **options)


@contextmanager
def recording(unet, layers):
    """Record while `unet` runs; gives what token_maps takes, and {convolution: its last output}; both fill up."""
    chosen = convolutions(unet, layers)
    own, attention, features, hooks = unet.attn_processors, {}, {}, []

    def keep(name):
        def hook(module, inputs, output):
            features[name] = output[-1].float().cpu().numpy()

        return hook

    try:
        unet.set_attn_processor({name: _Recorder(processor, attention) for name, processor in own.items()})
        hooks += [module.register_forward_hook(keep(name)) for name, module in chosen.items()]
        yield attention, features
    finally:
        unet.set_attn_processor(own)
        for hook in hooks:
            hook.remove()


def convolutions(unet, layers=None):
    """{name: module} of the unet's convolutions `layers`; by default the first, and the last of each block's resnets.

    Raises ValueError for a name that is none, with those that are like it.
    """
    names = [name for name, module in unet.named_modules() if isinstance(module, torch.nn.Conv2d)]
    # one that has a LoRA is the base_layer of a module that adds the LoRA's own convolutions
    names = [name.removesuffix(".base_layer") for name in names if ".lora_" not in name]
    if layers is None:
        last = {name.split(".resnets.")[0]: name for name in names if name.endswith(".conv2")}
        layers = ["conv_in", *last.values()]
    for layer in layers:
        if layer not in names:
            near = difflib.get_close_matches(layer, names, 5, cutoff=0.3) or names[:5]
            raise ValueError(f"the unet has no convolution {layer}; near that: {', '.join(near)}")
    return {layer: unet.get_submodule(layer) for layer in layers}


def attention_page(pipe, words, prompts, seeds, draw, output, layers=None, resolutions=None, **settings):
    """Write output/attention.html, pictures of what attention_maps sees for each of `prompts`; returns its path.

    words are the headings, one for each of the prompts and seeds. The pictures lie in output/attention/, and nothing
    on the page is fetched from elsewhere. Raises ValueError as attention_maps does.
    """
    folder = Path(output, "attention")
    folder.mkdir(parents=True, exist_ok=True)
    sections = []
    jobs = list(zip(words, prompts, seeds, strict=True))
    for number, (word, prompt, seed) in enumerate(tqdm(jobs, "attention", unit="drawing")):
        seen = attention_maps(pipe, prompt, seed, draw, layers, resolutions, **settings)
        pictures = {"words": _word_sheet(seen)}
        pictures |= {layer: _feature_sheet(layer, maps) for layer, maps in seen.features.items()}
        for name, picture in pictures.items():
            file = folder / f"{number:03d}-{name}.png"
            picture.save(file.with_suffix(".tmp"), "PNG")
            os.replace(file.with_suffix(".tmp"), file)
        about = [f"“{prompt}”, seed {seed}.", *_remarks(pipe, seen)]
        sections.append(
            f"<section>\n<h2>{html.escape(word)}</h2>\n<p>{html.escape(' '.join(about))}</p>\n"
            + "\n".join(
                f'<img loading="lazy" src="attention/{number:03d}-{quote(name)}.png" alt="{html.escape(name)}">'
                for name in pictures
            )
            + "\n</section>"
        )
    page = Path(output, "attention.html")
    page.with_suffix(".tmp").write_text(PAGE.substitute(sections="\n".join(sections)), encoding="utf-8")
    os.replace(page.with_suffix(".tmp"), page)
    return page


def _remarks(pipe, seen):
    """What has to be known to read the pictures of one drawing."""
    pooled = pipe.unet.config.class_embed_type is not None
    if not seen.attended:
        yield "No maps by word: this model has no cross-attention" + (
            ", its text reaches the unet as one vector." if pooled else "."
        )
    elif not seen.words:
        yield "No maps by word: the model sees no word of this prompt."
    elif pooled:
        yield "The prompt reaches the unet as one vector besides, which no map shows."
    if seen.unseen:
        yield f"The prompt is longer than what the text encoder takes; not seen: {' '.join(seen.unseen)}."


def _word_sheet(seen):
    """The drawing, and beside it each word's map over it, redder where there is more; a labelled picture."""
    drawing = np.asarray(on_paper(seen.drawing, "L").convert("RGB"), np.float32)
    groups = [("drawing", [seen.drawing])]
    for word, shares in zip(seen.words, seen.maps, strict=True):
        alpha = 0.75 * _stretch(shares)[..., None]
        heat = (1 - alpha) * drawing + alpha * np.array(HEAT, np.float32)
        label = f"{word} {shares.min():.2%} to {shares.max():.2%}"
        groups.append((label, [Image.fromarray(heat.round().astype(np.uint8))]))
    return contact_sheet(groups, columns=min(len(groups), 5))


def _feature_sheet(layer, maps):
    """The channels of `maps` (channels, height, width) that vary most, each from black to white; a labelled picture."""
    chosen = np.argsort(-maps.std((1, 2)), kind="stable")[:CHANNELS]
    cells = [Image.fromarray((255 * _stretch(maps[channel])).round().astype(np.uint8)) for channel in sorted(chosen)]
    scale = max(1, round(CELL / max(maps.shape[1:])))  # in whole steps: positions stay squares
    cells = [cell.resize((cell.width * scale, cell.height * scale), Image.Resampling.NEAREST) for cell in cells]
    cells = [ImageOps.expand(cell, GAP, "white") for cell in cells]
    channels, height, width = maps.shape
    label = f"{layer}: {len(cells)} of {channels} channels, {height} x {width} positions"
    return contact_sheet([(label, cells)], cell=max(cells[0].size))


def _stretch(values):
    """`values` over their own range, 0 to 1; 0 where there is no range."""
    low, high = values.min(), values.max()
    return (values - low) / (high - low) if high > low else np.zeros_like(values)


PAGE = Template("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Attention and feature maps</title>
<style>
  :root { color-scheme: light dark; font: 16px/1.45 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; }
  p { max-width: 45rem; overflow-wrap: anywhere; }
  img { background: #fff; height: auto; max-width: 100%; outline: 1px solid #8886; }
  section { align-items: start; border-top: 1px solid #8886; display: flex; flex-wrap: wrap; gap: 1rem; }
  section > h2, section > p { margin: 1rem 0 0; max-width: none; width: 100%; }
</style>
<h1>Attention and feature maps</h1>
<p>Maps by word: where the model attends to the word while it draws, redder for more; the mean over all heads, layers
and steps. Each map is stretched over its own range, which stands below it as shares of a pixel's attention; what is
missing from 100% goes to the other words, and to the marks around and behind the text.</p>
<p>Feature maps: what convolutions of the network give after the last step, the channels that vary most, each stretched
over its own range from black to white. A convolution that finds strokes shows them.</p>
$sections
</html>
""")
