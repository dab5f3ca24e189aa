"""FID, KID and CLIP score: the usual figures, by networks whose weights have to be downloaded, or named by a folder."""

import http.client
import os
import socket
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from metrics.figures import CASES, resampled
from models.hub import plain_errors
from sheet import on_paper

CLIP = "openai/clip-vit-base-patch32"
FEWEST = 50  # images; of fewer, a distribution says nothing
BATCH = 32
INCEPTION_SIDE = 299  # pixels that Inception v3 takes
TIMEOUT = 10  # seconds: a machine without a network must not wait for it
LAYER = "2048"  # of Inception, the last: what FID and KID mean


def fid_kid(drawings, reals, held_out, weights_dir=None):
    """Fréchet and kernel Inception distance of `drawings` to `reals` by torch-fidelity, as two figures.

    drawings, reals (the reference: all training images), held_out: lists of paths or PIL images of any size and mode;
        paths are read a batch at a time. Each is brought to 299 px with antialiasing (Parmar et al. 2022,
        arXiv:2104.11222): else images of different sizes could not be compared.
    weights_dir: a folder that has the file of Inception's weights (torch-fidelity's name for it); otherwise they come
        from torch's cache, otherwise from the net.

    FID (Heusel et al. 2017, arXiv:1706.08500) depends on the number of images, so that n is the same for the drawings
    and for the yardstick, which is the distance of held-out real images to the same reference. FID has no spread: its
    bootstrap would be biased upwards, as fewer different images are. KID (Bińkowski et al. 2018, arXiv:1801.01401) is
    the mean over random subsets, and its spread is 1.96 standard deviations over them: over halves, that is the
    standard error of the whole (the delete-half jackknife), over less it is more.

    Answers {"not_computed": why} without weights or enough images; raises ValueError for an image that is broken.
    """
    n = min(len(drawings), len(held_out))
    if min(n, len(reals)) < FEWEST:
        there = f"{len(drawings)} drawings, {len(held_out)} held-out and {len(reals)} real images"
        few = {"not_computed": f"at least {FEWEST} images of each kind are needed; there are {there}"}
        return few, few.copy()
    try:
        extractor = _inception(weights_dir)
    except ValueError as error:
        none = {"not_computed": f"no weights: {error}"}
        return none, none.copy()
    from torch_fidelity import KEY_METRIC_FID, KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
    from torch_fidelity.metric_kid import kid_features_to_metric

    with tqdm(total=len(reals) + 2 * n, desc="Inception", unit="image") as bar, torch.inference_mode():
        sets = (_some(drawings, n), _some(held_out, n), reals)
        drawn, held, real = (_inception_features(extractor, images, bar) for images in sets)
        bar.set_description("FID and KID")
        reference = fid_features_to_statistics(real)
        statistics = map(fid_features_to_statistics, (drawn, held))
        fid, fid_held = (fid_statistics_to_metric(one, reference, False)[KEY_METRIC_FID] for one in statistics)
        size = min(1000, n // 2, len(real))
        options = {"kid_subsets": 100, "kid_subset_size": size, "verbose": False}
        kid, kid_held = (kid_features_to_metric(rows, real, **options) for rows in (drawn, held))

    notes = [f"{n} of the {len(drawings)} drawings, as many as there are held-out images."] if n < len(drawings) else []
    sides = ["{} x {}".format(*_read(images[0]).size) for images in (drawings, reals)]
    if sides[0] != sides[1]:
        notes.append(f"The drawings have {sides[0]} pixels and the real images {sides[1]}: sharpness counts here.")
    biased = f"With n = {n}, below some thousand images, FID is biased upwards: compare it with the yardstick only."
    subsets = f"The spread is that of 100 random subsets of {size}."
    mean, error = kid[KEY_METRIC_KID_MEAN], 1.96 * kid[KEY_METRIC_KID_STD]
    both = {"n": n, "details": {"reference images": len(reals)}}
    return (
        {"value": fid, "yardstick": fid_held, **both, "note": " ".join([*notes, biased] if n < 5000 else notes)},
        {
            "value": mean,
            "spread": [mean - error, mean + error],
            "yardstick": kid_held[KEY_METRIC_KID_MEAN],
            **both,
            "note": " ".join([*notes, subsets]),
        },
    )


def _inception_features(extractor, images, bar):
    """The features of `images` (paths or PIL images) on the CPU, (n, dim)."""
    rows, size = [], (INCEPTION_SIDE, INCEPTION_SIDE)
    for start in range(0, len(images), BATCH):
        batch = [_read(image).resize(size, Image.Resampling.BICUBIC) for image in images[start : start + BATCH]]
        pixels = torch.from_numpy(np.stack([np.asarray(image) for image in batch])).permute(0, 3, 1, 2)
        rows.append(extractor(pixels.to(_device()))[0].cpu())
        bar.update(len(batch))
    return torch.cat(rows)


def clip_score(images, texts, real_images, real_texts, weights_dir=None):
    """How well `images` fit `texts` by CLIP: the mean of 100 max(cosine, 0) over the pairs, as a figure.

    Hessel et al. 2021, arXiv:2104.08718; on the scale of torchmetrics, 100 and not their 2.5. images and real_images
    are lists of paths or PIL images, as long as the lists of their texts; of a text CLIP sees 77 tokens. The yardstick
    is the score of real images with their own texts, as many at most. shuffled is the mean over all pairs of a drawing
    with a text that is another's: what shuffling gives on average. Cases are given where images are paths.

    weights_dir: a folder that has clip-vit-base-patch32/ with the model as save_pretrained writes it; otherwise it
    comes from the cache of the Hub, otherwise from the Hub.
    Answers {"not_computed": why} without weights or enough images; raises ValueError for lists that are not as long as
    each other and for an image that is broken.
    """
    if len(images) != len(texts) or len(real_images) != len(real_texts):
        raise ValueError(
            f"{len(images)} images with {len(texts)} texts, {len(real_images)} real images with {len(real_texts)}"
        )
    if min(len(images), len(real_images)) < FEWEST:
        there = f"{len(images)} drawings and {len(real_images)} real images"
        return {"not_computed": f"at least {FEWEST} images of each kind are needed; there are {there}"}
    try:
        model, processor = _clip(weights_dir)
    except ValueError as error:
        return {"not_computed": f"no weights: {error}"}
    real = _some(list(zip(real_images, real_texts, strict=True)), len(images))
    with tqdm(total=len(images) + len(real), desc="CLIP", unit="image") as bar, torch.inference_mode():
        drawn, words = _clip_vectors(model, processor, list(zip(images, texts, strict=True)), bar)
        real_drawn, real_words = _clip_vectors(model, processor, real, bar)
    pairs = 100 * np.clip(drawn @ words.T, 0, None)
    scores, n = pairs.diagonal(), len(images)
    words_of = np.unique(texts, return_inverse=True)[1]
    another = words_of[:, None] != words_of
    figure = {
        "value": float(scores.mean()),
        "spread": resampled(scores, words_of),
        "yardstick": float(100 * np.clip((real_drawn * real_words).sum(1), 0, None).mean()),
        "n": n,
        "details": {"model": CLIP, "real images": len(real)},
    }
    if another.any():  # else all were drawn for the same words
        figure["shuffled"] = float(pairs[another].mean())
    if all(isinstance(image, (str, os.PathLike)) for image in images):
        order = np.argsort(-scores, kind="stable")
        cases = [
            {"image": os.fspath(images[i]), "word": texts[i], "score": float(scores[i]), "beside": None}
            | {"beside_label": ""}
            for i in (*order[:CASES], *order[: -CASES - 1 : -1])
        ]
        figure["cases"] = {"best": cases[:CASES], "worst": cases[CASES:]}
    return figure


def _clip_vectors(model, processor, pairs, bar):
    """Unit vectors of the images and of the texts of `pairs`, two arrays (n, dim)."""
    rows = []
    for start in range(0, len(pairs), BATCH):
        images, texts = zip(*pairs[start : start + BATCH], strict=True)
        images = [_read(image) for image in images]
        inputs = processor(text=list(texts), images=images, padding=True, truncation=True, return_tensors="pt")
        output = model(**inputs.to(_device()))
        rows.append((output.image_embeds.cpu(), output.text_embeds.cpu()))
        bar.update(len(images))
    return [torch.cat(vectors).numpy() for vectors in zip(*rows, strict=True)]


def _device():
    return "cuda" if torch.cuda.is_available() else "cpu"


def _some(images, n):
    """`n` of `images`, or all where there are fewer; the same ones every time, and not just the first kinds of them."""
    return [images[i] for i in np.random.default_rng(0).permutation(len(images))[:n]]


def _read(image):
    """A path or a PIL image as RGB. Raises ValueError that names what cannot be read."""
    try:
        return on_paper(image if isinstance(image, Image.Image) else Image.open(image))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{image} cannot be read as an image: {error}") from error


def _inception(weights_dir):
    """torch-fidelity's Inception v3. Raises ValueError that says in one line why it cannot be had, and what to do."""
    from torch_fidelity import FeatureExtractorInceptionV3, feature_extractor_inceptionv3

    url = feature_extractor_inceptionv3.URL_INCEPTION_V3
    name = url.rsplit("/", 1)[-1]
    path = Path(torch.hub.get_dir(), "checkpoints", name)  # where torch-fidelity by itself keeps them
    if weights_dir and Path(weights_dir, name).is_file():
        path = Path(weights_dir, name)
    if not path.is_file():
        timeout = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)  # torch's download takes none
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = name.rsplit("-", 1)[-1].removesuffix(".pth")  # the first digits of the file's sha256
            torch.hub.download_url_to_file(url, path, hash_prefix=digest)
        except (OSError, http.client.HTTPException, RuntimeError) as error:  # the last: another sum, half a file
            kept = str(path.parent).replace(str(Path.home()), "~")
            looked = f"{weights_dir} or {kept}" if weights_dir else kept
            raise ValueError(
                f"no {name} in {looked}, and {url} cannot be had ({_in_one_line(error)}): "
                "download it elsewhere and name its folder by --weights_dir"
            ) from error
        finally:
            socket.setdefaulttimeout(timeout)
    try:
        torch.load(path, weights_only=True)  # torch-fidelity would run any code in it
        network = FeatureExtractorInceptionV3("inception-v3-compat", [LAYER], feature_extractor_weights_path=path)
        return network.to(_device())
    except Exception as error:  # torch has errors of many kinds for a file that is cut short
        raise ValueError(f"{path} has no weights of Inception ({_in_one_line(error)}): delete it") from error


def _clip(weights_dir):
    """CLIP's model and processor. Raises ValueError that says in one line why they cannot be had, and what to do."""
    from huggingface_hub import model_info
    from transformers import CLIPModel, CLIPProcessor

    def load(source, **options):
        model, found = CLIPModel.from_pretrained(source, output_loading_info=True, **options)
        if found["missing_keys"]:  # transformers makes them up
            raise ValueError(f"{len(found['missing_keys'])} of its weights are missing")
        processor = CLIPProcessor.from_pretrained(source, **options)
        if len(processor.tokenizer) < model.config.text_config.vocab_size:  # without its file it makes an empty one
            raise ValueError("its tokenizer is missing")
        return model.eval().to(_device()), processor

    folder = Path(weights_dir, CLIP.split("/")[1]) if weights_dir else None
    if folder and folder.is_dir():
        try:
            return load(folder, local_files_only=True)
        except Exception as error:
            raise ValueError(f"{folder} cannot be opened as CLIP: {_in_one_line(error)}") from error
    try:
        return load(CLIP, local_files_only=True)
    except (OSError, ValueError):  # not in the cache, or not whole
        pass
    with plain_errors(CLIP):
        model_info(CLIP, timeout=TIMEOUT)  # one request: a download would try again and again
        return load(CLIP)


def _in_one_line(error):
    return f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
