"""What does each figure of evaluate.py see, and what not? python benchmarks/what_figures_see.py [--sheet FILE]

Real held-out characters are made wrong, or copied, in known ways (metrics/corruptions.py), as many of each as are held
out, and measured as a model's drawings are. Prints a table; `--sheet FILE` saves a picture with some of each kind.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SET = ("fd_glyph", "mmd_glyph", "legibility", "copies", "diversity", "strokes")
MEANING = ("component_f1", "radical_hit", "meaning_match")
NEAREST = "copies: of the nearest meaning"
OF_ONE = ("real, held out", "chimera", "overlay", "mirror", "blur", NEAREST)  # each made of the character in its place


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--dataset", default="data/kanji")
    parser.add_argument("--resolution", type=int, help="reduce all to so many pixels first, as small drawings are")
    parser.add_argument("--sheet", help="save some of each kind as a labelled picture here")
    args = parser.parse_args()

    import numpy as np
    from PIL import Image
    from tqdm import tqdm

    from metrics.components import judge_of
    from metrics.corruptions import COPIES, CORRUPTIONS
    from metrics.figures import FIGURES, number
    from metrics.glyphs import fitted
    from metrics.measure import measure, yardstick
    from metrics.text_predictor import neighbours
    from sheet import contact_sheet

    real = yardstick(args.dataset, judge_of(args.dataset), args.resolution)
    rng = np.random.default_rng(0)
    near = neighbours(real.test_rows, real.train_rows)
    memorised = near[0][:, 0]
    some = rng.permutation(len(real.train))[: len(real.held)]
    families = {"real, held out": real.held}
    families |= {name: corrupt(real.held, rng) for name, corrupt in CORRUPTIONS.items()}
    families |= {f"copies: {name}": copy(real.train[some], rng) for name, copy in COPIES.items()}
    families[NEAREST] = real.train[memorised]

    groups = []
    print("| drawings |", " | ".join(FIGURES[key].title for key in SET + MEANING), "|")
    print("|---" * (1 + len(SET + MEANING)) + "|")
    for name, glyphs in tqdm(families.items(), "families", unit="family"):
        glyphs = np.stack([fitted(glyph) for glyph in glyphs])
        figures = measure(real, glyphs)
        drawn_for = np.arange(len(real.test_rows))
        if not name.startswith("copies"):  # those behind the test split's are of training pictures
            figures["copies"] = measure(real, glyphs[drawn_for])["copies"]
        if name in OF_ONE:
            computed = measure(real, glyphs[drawn_for], drawn_for=drawn_for, neighbours=near)
            figures |= {key: computed[key] for key in MEANING}
        told = [number(figures[key].get("value"), key) for key in SET + MEANING]
        print(f"| {name.replace('_', ' ')} |", " | ".join(told), "|", flush=True)
        groups.append((name.replace("_", " "), [Image.fromarray(np.uint8(255 - 255 * glyph)) for glyph in glyphs[:8]]))
    if args.sheet:
        contact_sheet(groups, "what the figures were tried on", cell=64).save(args.sheet)


if __name__ == "__main__":
    main()
