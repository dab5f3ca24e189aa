"""What a model draws for characters that it never saw: python benchmarks/held_out_sheet.py runs/kanji-cpu

A labelled sheet of held-out meanings: the true character first, the model's drawings beside it.
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
    parser.add_argument("--dataset", default="data/kanji")
    parser.add_argument("--characters", type=int, default=20, help="how many, of those that Japanese schools teach")
    parser.add_argument("--num_images", type=int, default=3, help="drawings a character")
    parser.add_argument("--guidance_scale", type=float, help="default: the model's own")
    parser.add_argument("--output", default="outputs/held-out.png")
    args = parser.parse_args()

    from PIL import Image

    from generate import draw, image_seed, load
    from sheet import contact_sheet

    folder = Path(args.dataset, "test")
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text("utf-8").splitlines()]
    taught = [row for row in rows if row["grade"]]
    rows = taught[:: max(1, len(taught) // args.characters)][: args.characters]
    jobs = [(row["text"], image_seed(0, row["text"], number)) for row in rows for number in range(args.num_images)]
    images = draw(load(args.model), *zip(*jobs, strict=True), guidance_scale=args.guidance_scale)
    groups = []
    for row in rows:
        drawings = [next(images) for _ in range(args.num_images)]
        groups.append((row["text"], [Image.open(folder / row["file_name"]), *drawings]))
    Path(args.output).parent.mkdir(parents=True, exist_ok=True)
    title = f"{args.model}: held-out meanings, the true character first"
    contact_sheet(groups, title, cell=96).save(args.output)
    print(args.output)


if __name__ == "__main__":
    main()
