"""resvg (what the dataset is drawn with) beside cairosvg, on the same SVGs: time per image, and how alike they draw.

    python -m benchmarks.render_svg ../shared/data/kanjivg-20260513.xml.gz [--resolution 512] [--every 1]

cairosvg needs the system's libcairo.so.2, which pip cannot install; resvg-py brings all it needs. Times are of the CPU,
strokes to greyscale image. What both draw differs on the edges of strokes, where resvg's anti-aliasing has steps of a
quarter of a pixel, and at a few cusps. "off the edge" counts pixels where one has ink or paper that the other has not
within a pixel, by more than 16 of 255 greys.

Measured on two busy cores with resvg-py 0.5.0 and cairosvg 2.9.1, all 6,432 characters: at 512 pixels 20.3 against
12.5 ms, ink 0.08% apart on average (at most 1.01%), 1,014 of 1,686,110,208 pixels off the edge; at 64 pixels 2.4
against 2.4 ms, 0.18% (at most 3.55%). The largest difference at 64 is a gap that cairo leaves in 桃, stroke 2.
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from tqdm import tqdm

from dataset_builder import kanjivg


def resvg(strokes: tuple[str, ...], resolution: int) -> Image.Image:
    """As the dataset is drawn, the look at the frame included."""
    return kanjivg.draw(strokes, resolution)


def cairo(strokes: tuple[str, ...], resolution: int) -> Image.Image:
    """The yardstick."""
    import cairosvg

    svg = kanjivg.svg(strokes, resolution, 0, kanjivg.PEN)
    png = cairosvg.svg2png(bytestring=svg.encode(), background_color="#fff")
    return Image.open(io.BytesIO(png)).convert("L")


def off_the_edge(one: Image.Image, other: Image.Image) -> int:
    """Pixels of `one` clearly darker or lighter than anything of `other` within one pixel's distance."""
    pixels = np.asarray(one).astype(int)
    darkest = np.asarray(other.filter(ImageFilter.MinFilter(3))).astype(int)
    lightest = np.asarray(other.filter(ImageFilter.MaxFilter(3))).astype(int)
    return int(((pixels < darkest - 16) | (pixels > lightest + 16)).sum())


def main() -> None:
    """Draw everything twice and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("kanjivg", type=Path)
    parser.add_argument("--resolution", type=int, default=512)
    parser.add_argument("--every", type=int, default=1, help="every Nth character only")
    args = parser.parse_args()
    drawings = [d for d in kanjivg.read(args.kanjivg) if isinstance(d, kanjivg.Drawing) and ord(d.character) > 0x3400]
    seconds, largest, mean, inked, strays = {resvg: 0.0, cairo: 0.0}, [], [], [], 0
    for drawing in tqdm(drawings[:: args.every], unit="character"):
        images = []
        for draw in (resvg, cairo):
            start = time.process_time()
            images.append(draw(drawing.strokes, args.resolution))
            seconds[draw] += time.process_time() - start
        one, other = images
        difference = np.abs(np.asarray(one).astype(int) - np.asarray(other))
        largest.append(difference.max())
        mean.append(difference.mean())
        inked.append(abs((255 - np.asarray(one)).sum() / (255 - np.asarray(other)).sum() - 1))
        strays += off_the_edge(one, other) + off_the_edge(other, one)
    count = len(largest)
    print(f"{count} characters at {args.resolution} x {args.resolution}")
    for draw, total in seconds.items():
        print(f"  {draw.__name__:8} {1000 * total / count:6.1f} ms of CPU an image")
    print(f"  difference of grey (0 to 255): mean {np.mean(mean):.3f}, largest {max(largest)}")
    print(f"  difference of ink: mean {np.mean(inked):.2%}, largest {max(inked):.2%}")
    print(f"  off the edge: {strays} of {count * args.resolution**2:,} pixels")


if __name__ == "__main__":
    main()
