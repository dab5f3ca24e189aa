"""From pictures on the disk to the figures of a report, with the real pictures that stand beside them."""

import hashlib
import os
from pathlib import Path

import numpy as np
from PIL import Image

from metrics.components import is_aside
from metrics.downloaded import clip_score, fid_kid
from metrics.glyphs import SIDE, held_out_rows, load_glyphs, read_rows
from metrics.measure import measure
from sheet import on_paper

THUMBNAIL = 128  # pixels of a real picture beside a drawing


def measured(files, words, resolution, real, find_neighbours):
    """The figures of the drawings in `files`, made for `words`, that need no download; cases have no pictures yet."""
    place = {}
    for number, row in enumerate(real.test_rows):
        place.setdefault(row["text"], number)
    drawn_for = np.array([place.get(word, -1) for word in words]) if all(word in place for word in words) else None
    needed = real.characters and real.judge.kind == "components" and drawn_for is not None
    same = np.unique(words, return_inverse=True)[1]
    glyphs = load_glyphs(files, resolution=resolution, label="looking")
    figures = measure(real, glyphs, same, drawn_for, find_neighbours() if needed else None)

    def placed(case):  # a dict of its own: a case can be among the best and the worst
        index = case["index"]
        beside = None if drawn_for is None else real.test_rows[drawn_for[index]]
        return {
            "image": files[index],
            "word": words[index],
            "score": case["score"],
            "beside": case.get("beside", beside),
        }

    for figure in (figure for figure in figures.values() if "cases" in figure):
        figure["cases"] = {kind: [placed(case) for case in cases] for kind, cases in figure["cases"].items()}
    return figures


def usual(files, words, dataset, weights_dir):
    """FID, KID and CLIP score, by the same real pictures as the others."""
    train = read_rows(dataset / "train")
    held = held_out_rows(dataset) + [row for row in train if is_aside(row)]
    reference, held_files = [row["file"] for row in train if not is_aside(row)], [row["file"] for row in held]
    fid, kid = fid_kid(files, reference, held_files, weights_dir)
    clip = clip_score(files, words, held_files, [row["text"] for row in held], weights_dir)
    return {"fid": fid, "kid": kid, "clip_score": clip}


def with_pictures(figures, output):
    """Put paths as seen from `output` in all cases, and small copies of the real pictures in output/real."""
    for case in (case for figure in figures.values() for cases in figure.get("cases", {}).values() for case in cases):
        case["image"] = Path(os.path.relpath(case["image"], output)).as_posix()
        if row := case.get("beside"):
            copy = output / "real" / f"{hashlib.sha256(str(row['file']).encode()).hexdigest()[:12]}.png"
            copy.parent.mkdir(parents=True, exist_ok=True)
            picture = on_paper(Image.open(row["file"]))
            picture.thumbnail((THUMBNAIL, THUMBNAIL))
            picture.save(copy)
            case |= {"beside": copy.relative_to(output).as_posix(), "beside_label": row.get("character") or row["text"]}
    return figures


def sides(files):
    """The longer side in pixels of each picture; ValueError that names one that cannot be opened."""
    found = []
    for file in files:
        try:
            with Image.open(file) as image:
                found.append(max(image.size))
        except (OSError, Image.DecompressionBombError) as error:
            raise ValueError(f"{file} is not a picture that can be opened: {error}") from None
    return found


def notes_of(sizes, resolution, real):
    """What has to be known before the figures are read, in sentences."""
    notes = []
    if min(sizes) != max(sizes):
        notes.append(
            f"The pictures have {min(sizes)} to {max(sizes)} pixels a side; larger than {resolution} were reduced."
        )
    if resolution < THUMBNAIL:
        notes.append(
            f"The drawings have {resolution} pixels a side; real pictures were reduced to as many before all else."
        )
    if resolution < SIDE:
        notes.append(
            f"The judge sees {SIDE} pixels a side, so drawings and real pictures alike are blurred to it: fine parts "
            "that run together at this size count against neither."
        )
    if not real.test_rows:
        notes.append("The data have no held-out split: the drawings are of words that were trained on.")
    if real.judge.kind != "components":
        what = "classes" if real.judge.kind == "classes" else "single pictures, each told from all others"
        notes.append(f"The judge knows no components here; it was trained on {what}, in grey.")
    return notes
