"""Pictures of made-up characters, and what is told of them, as a dataset's folder."""

import json

import numpy as np
from PIL import Image, ImageDraw

NAMES = [chr(ord("a") + number) for number in range(25)]


def draw(parts):
    """A picture of components, each a short thick line at its own place, in a frame that is always there."""
    image = Image.new("L", (64, 64), 255)
    ImageDraw.Draw(image).rectangle((2, 2, 61, 61), outline=0, width=2)
    for part in parts:
        row, column = divmod(NAMES.index(part), 5)
        x, y = 8 + 10 * column, 8 + 10 * row
        line = (x, y, x + 7, y + 7) if (row + column) % 2 else (x + 7, y, x, y + 7)
        ImageDraw.Draw(image).line(line, fill=0, width=4)
    return image


def save_dataset(folder, rows, split="train"):
    """Pictures of made-up characters of three components each; `rows` has what is told of them, one dict for each."""
    rng = np.random.default_rng(len(split))
    (folder / split).mkdir(parents=True)
    with open(folder / split / "metadata.jsonl", "w") as file:
        for number, row in enumerate(rows):
            if number % 25 == 0:  # in 25 pictures each component is in three
                steps = rng.choice(25, 3, replace=False)
            parts = [NAMES[(number + step) % 25] for step in steps]
            draw(parts).save(folder / split / f"{number:03}.png")
            row = {key: parts if value is ... else value for key, value in row.items()}
            file.write(json.dumps({"file_name": f"{number:03}.png", "text": " ".join(parts)} | row) + "\n")
    return folder


def lines(n, seed=0, across=1, side=32):
    """`n` images of `across` black lines each."""
    rng = np.random.default_rng(seed)
    images = np.full((n, side, side), 255, np.uint8)
    for image in images:
        image[rng.integers(side, size=across)] = 0
    return [Image.fromarray(image) for image in images]
