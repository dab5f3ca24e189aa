"""Small pictures as image files, and a folder of them."""

import io
import json
import random

from PIL import Image, ImageDraw, PngImagePlugin


def ink(mode="L", colour=0, paper=255, size=(32, 32)):
    """A cross on paper."""
    image = Image.new(mode, size, paper)
    draw = ImageDraw.Draw(image)
    draw.line((4, 16, 28, 16), fill=colour, width=3)
    draw.line((16, 4, 16, 28), fill=colour, width=3)
    return image


def file(image, kind="PNG", title=None, **options):
    """The bytes of an image file."""
    if title:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_text("Title", title)
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def noise(low, high, size=(32, 32)):
    numbers = random.Random(0)
    return Image.frombytes("L", size, bytes(numbers.randint(low, high) for _ in range(size[0] * size[1])))


def write_split(data, files, rows=None, split="train"):
    """Image files by their names, and rows; without rows, one for each. Returns the split's folder."""
    folder = data / split
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    rows = [{"file_name": name, "text": name} for name in files] if rows is None else rows
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
