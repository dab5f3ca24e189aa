"""Does a text_to_glyph model draw what it was taught? python benchmarks/nearest_character.py runs/quickstart

Draws every training caption once and asks which of all the training characters is nearest to the drawing (mean
squared difference of pixels). Last on standard output is one JSON line: the share that is nearest to its own character,
chance, and how white the paper is (mean of the drawings where the real character is white; 1 is white).
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL", help="a run's folder or a checkpoint in it")
    parser.add_argument("--dataset", default="data/starter")
    parser.add_argument("--num_inference_steps", type=int, default=25)
    parser.add_argument("--guidance_scale", type=float, help="default: the model's own")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--sheet", help="save the drawings as a labelled picture here")
    args = parser.parse_args()

    import numpy as np
    from PIL import Image

    from generate import draw, load
    from sheet import contact_sheet

    rows = [json.loads(line) for line in Path(args.dataset, "train", "metadata.jsonl").read_text("utf-8").splitlines()]
    settings = {"num_inference_steps": args.num_inference_steps, "guidance_scale": args.guidance_scale}
    seeds = range(args.seed, args.seed + len(rows))
    images = [image.convert("L") for image in draw(load(args.model), [row["text"] for row in rows], seeds, **settings)]
    drawn = np.stack([np.asarray(image, dtype=np.float32).ravel() / 255 for image in images])
    real = np.stack(
        [
            np.asarray(
                Image.open(Path(args.dataset, "train", row["file_name"])).resize(images[0].size, Image.Resampling.BOX),
                dtype=np.float32,
            ).ravel()
            / 255
            for row in rows
        ]
    )
    distances = (drawn**2).sum(1)[:, None] - 2 * drawn @ real.T + (real**2).sum(1)[None]
    right = distances.argmin(1) == np.arange(len(rows))
    if args.sheet:
        cells = zip(rows, images, right, strict=True)
        contact_sheet([(row["text"] + ("" if ok else " (x)"), [image]) for row, image, ok in cells]).save(args.sheet)
    result = {
        "model": args.model,
        "characters": len(rows),
        "nearest_to_own": round(float(right.mean()), 4),
        "chance": round(1 / len(rows), 4),
        "paper": round(float(drawn[real > 0.99].mean()), 4),
        "mean_squared_difference": round(float(np.diag(distances).mean() / drawn.shape[1]), 4),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
