"""The judge's network: what it is, how it is kept, and what it says of glyphs. metrics/components.py trains it."""

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

FILE = "judge.safetensors"  # in the dataset's folder
VERSION = 1  # of what the judge is and how it is trained: a file of another is made anew
CHANNELS = (32, 64, 128, 256)
BATCH = 256


class Look(NamedTuple):
    """What a judge sees in n glyphs."""

    probabilities: np.ndarray  # (n, names), 0 to 1
    features: np.ndarray  # (n, 256), what the answers are made of
    maps: np.ndarray  # (n, 2304), unit length: 3 x 3 places of 256 channels, where in the glyph things are


class Judge(NamedTuple):
    """A trained network, what it tells (see components.labels), and how it was made."""

    net: nn.Module
    kind: str
    names: list
    info: dict
    critic: nn.Module | None = None  # of legibility, where the data are characters

    @torch.no_grad()
    def look(self, glyphs):
        """Glyphs (n, SIDE, SIDE) of 0 to 1 -> Look."""
        probabilities, features, maps = [], [], []
        for start in range(0, len(glyphs), BATCH):
            x = torch.from_numpy(np.ascontiguousarray(glyphs[start : start + BATCH]))[:, None]
            x = self.net[:4](x.to(memory_format=torch.channels_last))
            maps.append(nn.functional.normalize(x.flatten(1)).numpy())
            features.append(self.net[4][:2](x).numpy())
            logits = self.net[4][2:](torch.from_numpy(features[-1]))
            # each component is there or not; a class is one of all
            probabilities.append((logits.sigmoid() if self.kind == "components" else logits.softmax(1)).numpy())
        empty = [np.zeros((0, size), np.float32) for size in (len(self.names), CHANNELS[-1], CHANNELS[-1] * 9)]
        return Look(
            *(
                np.concatenate(parts or [none])
                for parts, none in zip((probabilities, features, maps), empty, strict=True)
            )
        )


def build(outputs):
    """The network, untrained: (n, 1, SIDE, SIDE) -> logits (n, outputs). Residual blocks, 1.3M parameters."""

    class Block(nn.Module):
        def __init__(self, before, after):
            super().__init__()
            self.main = nn.Sequential(
                nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(),
                nn.Conv2d(after, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
            )
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(2), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
            )

        def forward(self, x):
            return nn.functional.relu(self.main(x) + self.shortcut(x))

    # a position of the first layer is 2 x 2 pixels: half the side, a quarter of the time, as good
    stem = nn.Sequential(
        nn.PixelUnshuffle(2),
        nn.Conv2d(4, CHANNELS[0], 3, padding=1, bias=False),
        nn.BatchNorm2d(CHANNELS[0]),
        nn.ReLU(),
    )
    blocks = [Block(before, after) for before, after in pairwise(CHANNELS)]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(CHANNELS[-1], outputs))
    return nn.Sequential(stem, *blocks, head)


def build_critic(dim):
    """The critic of metrics/legibility.py, untrained: maps (n, dim) -> logits (n, 1) of being a character's."""
    return nn.Sequential(
        nn.BatchNorm1d(dim, affine=False), nn.Linear(dim, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, 1)
    )


def save_judge(judge, file):
    """Keep `judge` in `file` (safetensors, its names and story in the header), whole or not at all."""
    from safetensors.torch import save

    told = {"kind": judge.kind, "names": judge.names, "info": judge.info}
    parts = {"net": judge.net} | ({"critic": judge.critic} if judge.critic else {})
    weights = {
        f"{part}.{name}": weight.contiguous()
        for part, module in parts.items()
        for name, weight in module.state_dict().items()
    }
    temporary = Path(f"{file}.tmp")
    temporary.write_bytes(save(weights, metadata={"judge": json.dumps(told)}))
    os.replace(temporary, file)


def open_judge(file, data):
    """-> (the judge in `file`, ""), or (None, why it cannot be used): `data` is the fingerprint that it has to fit."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stored:
            told = json.loads(stored.metadata()["judge"])
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 (it is no dict)
        if told["info"].get("version") != VERSION:
            return None, "the one there is of another version"
        if told["info"]["data"] != data:
            return None, "the one there was made of other data"
        modules = {"net": build(len(told["names"])), "critic": build_critic(CHANNELS[-1] * 9)}
        for part, module in modules.items():
            prefix = f"{part}."
            own = {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}
            if not own and part == "critic":
                modules[part] = None
                continue
            module.load_state_dict(own)
            module.eval()
        net = modules["net"].to(memory_format=torch.channels_last)
        return Judge(net, told["kind"], told["names"], told["info"], modules["critic"]), ""
    except FileNotFoundError:
        return None, "there is none yet"
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        return None, f"the one there cannot be read ({' '.join(str(error).split())[:200]})"
