"""Does it work? python evaluate.py MODEL [MODEL ...] --dataset data/kanji

Draws the dataset's held-out meanings with each MODEL (as generate.py takes it), or takes the images that are there
(--images DIR), and measures them beside real held-out characters: legible? novel? true to the meaning? report.html,
report.md and report.json in outputs/NAME/report say so. What is there already is not drawn or measured again.
"""

import argparse
import functools
import hashlib
import json
import os
import statistics
import sys
from pathlib import Path

from generate import Planned, add_drawing_flags, draw, draw_missing, folder_name, image_seed, load, positive, read_words
from models.find import caption_template, checkpoints, find_model

VERSION = 1  # of the measurements: figures of another are measured anew
NO_WEIGHTS = {"not_computed": "no weights"}
USUAL = ("fid", "kid", "clip_score")


def words_to_draw(args, saved):
    """(words, prompts): those of --prompts, else the texts of what was held out, else of what was trained on."""
    if args.prompts:
        words, template = read_words([], args.prompts), caption_template(saved.run)
        return words, [template.format(meanings=word) for word in words]
    from metrics.glyphs import held_out_rows, read_rows

    rows = held_out_rows(args.dataset) or read_rows(args.dataset / "train")
    words = {row["text"] for row in rows}
    words = sorted(words, key=lambda word: hashlib.sha256(word.encode()).digest())  # a few of them are of all kinds
    return words, words  # a row's text is a whole caption


def drawings_of(args, model, saved, folder):
    """Draw what is not there yet in `folder` -> (files, the words that they were drawn for, settings)."""
    if saved.note:
        print(saved.note, file=sys.stderr)
    words, prompts = words_to_draw(args, saved)
    planned = []
    for number in range(-(-args.num_images // len(words))):  # each word once, then each a second time
        for word, prompt in zip(words, prompts, strict=True):
            seed = image_seed(args.seed, word, number)
            planned.append(Planned(word, prompt, seed, folder / folder_name(word) / f"{seed}.png"))
    planned = planned[: args.num_images]
    settings = draw_missing(argparse.Namespace(**vars(args) | {"model": model}), saved, planned)
    settings = {key: value for key, value in settings.items() if value} | {"seed": args.seed}
    return [image.file for image in planned], [image.word for image in planned], settings


def evaluate(args, model, output, real_at, find_neighbours, judge):
    """Draw, measure and keep what is not there yet of one model, or of the images -> a report (see metrics.report)."""
    from metrics.evaluation import measured, notes_of, sides, usual, with_pictures
    from metrics.glyphs import fingerprint as data_fingerprint
    from metrics.glyphs import read_rows

    if model is None:
        name, step, about = args.images.resolve().name, None, {"images": data_fingerprint(args.images)}
        rows = read_rows(args.images)
        if not rows:
            raise ValueError(f"{args.images} has no pictures")
        folder, files, words = output / name, [row["file"] for row in rows], [row["text"] for row in rows]
    else:
        saved = find_model(model)
        name, step = (saved.run.name, int(Path(model).name.split("-")[1])) if args.checkpoints else (saved.name, None)
        folder = output / saved.name
        files, words, about = drawings_of(args, model, saved, folder)
    data = data_fingerprint(args.dataset)
    listed = hashlib.sha256("\n".join(map(str, files)).encode()).hexdigest()
    made_of = {"version": VERSION, "about": about, "files": listed, "data": data, "judge": judge.info, "step": step}
    keep = folder / "figures.json"
    try:
        kept = json.loads(keep.read_text("utf-8"))
        report = kept["report"] if kept["made_of"] == made_of else {}
    except (OSError, ValueError, KeyError, TypeError):
        report = {}
    sizes = sides(files)
    resolution = statistics.median_low(sizes)
    if not report:
        real = real_at(resolution)
        splits = {"train": len(real.train_rows), "test": len(real.test_rows)}
        told = {key: judge.info[key] for key in ("learned_from", "held_out")} | judge.info["held_out_figures"]
        drawings = {"n": len(files), "words": len(set(words)), "resolution": resolution, "settings": about}
        report = {
            "model": name,
            "kind": saved.kind if model else "images",
            "step": step,
            "dataset": {"path": str(args.dataset), "fingerprint": data[:16], **splits},
            "judge": {"labels": judge.kind, "count": len(judge.names), **told},
            "drawings": drawings,
            "notes": notes_of(sizes, resolution, real),
            **with_pictures(measured(files, words, resolution, real, find_neighbours), output),
        }
    for look_for_weights in (False, True):  # what is measured is kept before that, which may take long
        if look_for_weights:
            report |= with_pictures(usual(files, words, args.dataset, args.weights_dir), output)
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.with_suffix(".tmp").write_text(json.dumps({"made_of": made_of, "report": report}), "utf-8")
        os.replace(keep.with_suffix(".tmp"), keep)
        if not any("no weights" in report.get(key, NO_WEIGHTS).get("not_computed", "") for key in USUAL):
            break
    return report


def attend(args, model, output):
    """A page of what the model attends to while it draws each word of --attention."""
    from metrics.attention import attention_page

    saved = find_model(model)
    template = caption_template(saved.run)
    prompts = [template.format(meanings=word) for word in args.attention]
    seeds = [image_seed(args.seed, word, 0) for word in args.attention]
    pipe = load(model, args.scheduler, args.dtype, args.device)
    settings = {"num_inference_steps": args.num_inference_steps, "guidance_scale": args.guidance_scale}
    settings |= {"height": args.resolution, "width": args.resolution, "negative_prompt": args.negative_prompt}
    settings = {key: value for key, value in settings.items() if value is not None}
    page = attention_page(pipe, args.attention, prompts, seeds, draw, output / saved.name, args.layers, **settings)
    print(page)


def run(args, models, output):
    """Evaluate `models`, or the images where there are none, and write what is asked for into `output`."""
    for model in models if args.attention else []:
        attend(args, model, output)
    if not args.dataset:
        return
    from metrics.components import judge_of
    from metrics.glyphs import read_rows
    from metrics.measure import yardstick
    from metrics.report import write_reports
    from metrics.text_predictor import neighbours

    judge = judge_of(args.dataset, args.judge)

    @functools.cache
    def real_at(resolution):
        return yardstick(args.dataset, judge, resolution)

    @functools.cache
    def find_neighbours():
        return neighbours(*(read_rows(args.dataset / split) for split in ("test", "train")))

    reports = [evaluate(args, model, output, real_at, find_neighbours, judge) for model in models or [None]]
    write_reports(reports, output)
    for name in ("report.json", "report.md", "report.html"):
        print(output / name)


def parse_args():
    """The command line, the models to evaluate and the report's folder; exits with one line where it cannot be."""
    parser = argparse.ArgumentParser(
        usage="python evaluate.py MODEL [MODEL ...] --dataset DIR [--flag value ...]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="*", help="a run, a checkpoint-N in it, or USER/NAME on the Hub; or several")
    add("--dataset", type=Path, metavar="DIR", help="the real data: train, and held out test (data/kanji)")
    add("--images", type=Path, metavar="DIR", help="measure these, an imagefolder, in place of a model's drawings")
    add("--checkpoints", action="store_true", help="every checkpoint of the run MODEL, and the curves")
    add("--prompts", metavar="FILE", help="words to draw, one a line, in place of the held-out meanings")
    add("--num_images", type=positive, default=1000, metavar="N", help="drawings of a model in all (%(default)s)")
    add("--output", type=Path, metavar="DIR", help="where the report goes (outputs/NAME/report)")
    add("--judge", metavar="FILE", help="the judge's weights, made where missing (judge.safetensors in --dataset)")
    add("--weights_dir", metavar="DIR", help="weights of Inception and CLIP, for FID, KID and CLIP score")
    add("--attention", nargs="+", metavar="WORD", help="show what the unet attends to and sees while it draws these")
    add("--layers", nargs="+", metavar="NAME", help="convolutions of the unet whose maps --attention shows (a few)")
    add_drawing_flags(parser)
    args = parser.parse_intermixed_args()
    try:  # all that can be wrong is said before torch is loaded, which takes seconds
        if bool(args.models) == bool(args.images):
            raise ValueError("name a MODEL, or --images, and not both")
        if args.attention and args.images:
            raise ValueError("--attention needs a MODEL that draws")
        if not args.dataset and not args.attention:
            raise ValueError("name the real data to measure by: --dataset data/kanji")
        for folder in filter(None, (args.dataset and args.dataset / "train", args.images)):
            if not folder.is_dir():
                raise FileNotFoundError(f"there is no {folder}")
        models = args.models
        if args.checkpoints:
            if len(models) != 1:
                raise ValueError("--checkpoints takes one run")
            models = [str(folder) for folder in checkpoints(find_model(models[0]).run) if is_whole(folder)]
            if not models:
                raise ValueError(f"{args.models[0]} has no checkpoints")
        names = [find_model(model).name for model in models]
        if doubled := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"two models are called {doubled}: evaluate them by themselves")
        if args.prompts:
            read_words([], args.prompts)
        name = "-".join(names)[:100] if models else args.images.resolve().name
        output = args.output or Path("outputs", name, "report")
        if args.checkpoints and not args.output:
            output = Path("outputs", find_model(args.models[0]).run.name, "report-checkpoints")
        if args.images and args.output and args.images.resolve() in output.resolve().parents:
            raise ValueError(f"--output {output} is inside --images, and would be measured the next time")
        output.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        parser.error(str(error))
    return args, models, output


def is_whole(checkpoint):
    try:
        return bool(find_model(checkpoint))
    except FileNotFoundError as error:  # it is being written, or was cut short
        print(f"passed over: {error}", file=sys.stderr)
        return False


def main():
    args, models, output = parse_args()
    try:
        run(args, models, output)
    except (OSError, ValueError) as error:
        sys.exit(f"evaluate.py: {error}")
    except KeyboardInterrupt:
        sys.exit("evaluate.py: stopped; what is drawn is kept, and the same command goes on from there")


if __name__ == "__main__":
    main()
