"""Make the judge, a small network that tells components in glyphs apart: python -m metrics.components --dataset DIR

It is trained on the dataset's train split (data/kanji), one picture in eight kept aside, in some minutes on two CPU
cores, and kept as judge.safetensors in the dataset's folder with the data's fingerprint. Its features are what
evaluate.py measures distances, legibility and copies with; its components are what the meaning of a drawing is told by.

A dataset without components gets a judge of its classes (a column `class`), or else one that tells each picture from
all others however it is bent: a self-supervised one (Dosovitskiy et al. 2014, arXiv:1406.6909).
"""

import argparse
import hashlib
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from metrics.glyphs import SIDE, fingerprint, held_out_rows, load_glyphs, read_rows
from metrics.judge import FILE, VERSION, Judge, build, open_judge, save_judge
from metrics.legibility import FEWEST, make_critic

IMAGES = 5000  # told from each other at most, where there is nothing else to learn
AT_LEAST = 15  # characters that a component must be in, or images a class must have, to be learned
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 3e-3, 0.02


def components_of(row):
    """The components of a row's character, itself among them: a horse is drawn in 馬 as it is in 駅."""
    own = {row["character"]} if row.get("components") and row.get("character") else set()
    return {*(row.get("components") or ()), *own}


def labels(rows):
    """What a judge of `rows` can tell: ("components" | "classes" | "images", the list of their names)."""
    components = Counter(name for row in rows for name in components_of(row))
    if len(common := sorted(name for name, count in components.items() if count >= AT_LEAST)) >= 20:
        return "components", common
    classes = Counter(str(row["class"]) for row in rows if row.get("class") is not None)
    if len(common := sorted(name for name, count in classes.items() if count >= AT_LEAST)) >= 2:
        return "classes", common
    return "images", [row["file_name"] for row in rows]


def multi_hot(rows, kind, names):
    """Which of `names` each row has: float32 (rows, names) of 0 and 1."""
    place = {name: number for number, name in enumerate(names)}
    hot = np.zeros((len(rows), len(names)), dtype=np.float32)
    told = {
        "components": components_of,
        "classes": lambda row: [str(row.get("class"))],
        "images": lambda row: [row["file_name"]],
    }
    for number, row in enumerate(rows):
        for name in told[kind](row):
            if name in place:
                hot[number, place[name]] = 1
    return hot


def is_aside(row):
    """Whether the judge does not learn from this picture of the train split: one in eight, by its file's name."""
    return hashlib.sha256(row["file_name"].encode()).digest()[0] % 8 == 0


def augment(glyphs, generator):
    """Glyphs (n, 1, 2 * SIDE, 2 * SIDE) of 0 to 1 -> (n, 1, SIDE, SIDE), each a little otherwise.

    Turned, scaled, sheared, shifted, bent like rubber; strokes thicker or thinner; fainter, noisy; some as if drawn at
    fewer pixels. Never mirrored: a mirrored character is another, or none.
    """
    import torch
    from torch.nn import functional as F

    def uniform(low, high, *shape):
        return low + (high - low) * torch.rand(len(glyphs), *shape, generator=generator)

    turn, shear = uniform(-0.12, 0.12), uniform(-0.12, 0.12)
    scale, shift = uniform(-0.12, 0.12, 2).exp(), uniform(-0.06, 0.06, 2)
    rows = [
        torch.stack([turn.cos() * scale[:, 0], shear - turn.sin(), shift[:, 0]], 1),
        torch.stack([turn.sin(), turn.cos() * scale[:, 1], shift[:, 1]], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), glyphs.shape, align_corners=False)
    bends = F.interpolate(uniform(-0.06, 0.06, 2, 4, 4), size=glyphs.shape[2:], mode="bicubic", align_corners=False)
    bent = F.grid_sample(glyphs, grid + bends.permute(0, 2, 3, 1), align_corners=False)
    thick, thin = F.max_pool2d(bent, 3, 1, 1), -F.max_pool2d(-bent, 3, 1, 1)
    which, much = uniform(0, 1, 1, 1, 1), uniform(0, 1, 1, 1, 1)
    bent = torch.where(which < 0.4, bent.lerp(thick, much), torch.where(which < 0.6, bent.lerp(thin, much / 2), bent))
    small = F.avg_pool2d(bent, 2)
    few = len(small) // 5
    pixels = int(torch.randint(SIDE // 2, SIDE, (), generator=generator))
    coarse = F.interpolate(small[:few], size=(pixels, pixels), mode="area")
    coarse = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    small = torch.cat([coarse, small[few:]]) * uniform(0.8, 1, 1, 1, 1)
    noise = torch.randn(small.shape, generator=generator) * uniform(0, 0.06, 1, 1, 1)
    return (small + noise).clamp(0, 1)


def fit(glyphs, targets, kind, steps, seed=0):
    """Train a judge on uint8 glyphs (n, 2 * SIDE, 2 * SIDE) and targets (n, labels) of 0 and 1; -> the network."""
    import torch
    from torch.nn import functional as F
    from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
    from tqdm import tqdm

    torch.manual_seed(seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    generator = torch.Generator().manual_seed(seed)
    net = build(targets.shape[1]).to(device, memory_format=torch.channels_last)
    if kind == "components":  # begins with how common each one is, and not by learning that first
        share = torch.from_numpy(targets).mean(0).clamp(1e-4, 1 - 1e-4)
        net[4][3].bias.data.copy_(share.logit())
        net[4][3].weight.data.mul_(0.3)
    decay = min(0.995, 1 - 10 / (steps + 10))  # a short training's average must forget how it began
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)
    optimizer = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps, pct_start=0.15)
    glyphs, targets = torch.from_numpy(glyphs)[:, None], torch.from_numpy(targets)
    order = torch.empty(0, dtype=torch.long)
    for _ in tqdm(range(steps), "judge", unit="step"):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(glyphs), generator=generator)])
        batch, order = order[:BATCH], order[BATCH:]
        logits = net(augment(glyphs[batch].float() / 255, generator).to(device, memory_format=torch.channels_last))
        target = targets[batch].to(device)
        if kind == "components":  # each is there or not
            loss = F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(1).mean()
        else:  # one of them; a picture of a class that is too rare has none, and teaches nothing
            loss = F.cross_entropy(logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        averaged.update_parameters(net)
    return averaged.module.eval().cpu()


def held_out_figures(judge, glyphs, targets):
    """How good `judge` is on glyphs that it never saw: a dict of shares of 1, by the kind of judge.

    Mean average precision over the components that occur (map), over all pairs at once (micro), and what a judge
    without eyes has (chance); the share of right answers for classes; nothing where each picture is its own class.
    """
    from sklearn.metrics import average_precision_score

    known, occurs = targets.any(1), targets.any(0)  # a class that is too rare is not known
    if judge.kind == "images" or not known.any():
        return {}
    told = judge.look(glyphs).probabilities
    if judge.kind == "classes":
        return {"accuracy": float((told.argmax(1) == targets.argmax(1))[known].mean())}
    return {
        "map": float(average_precision_score(targets[:, occurs], told[:, occurs])),
        "micro": float(average_precision_score(targets.ravel(), told.ravel())),
        "chance": float(targets[:, occurs].mean()),
    }


def make_judge(dataset, file=None, max_train_steps=None):
    """Train the judge of `dataset`, save it and return it. Raises ValueError for a folder that has nothing to learn."""
    file = Path(file or Path(dataset, FILE))
    rows = read_rows(Path(dataset, "train"))
    if len(rows) < 16:
        raise ValueError(f"{dataset}/train has {len(rows)} pictures: a judge needs 16 at least")
    try:  # what cannot be written fails here, and not after the training
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f"{file.name}."):
            pass
        if file.is_dir():
            raise IsADirectoryError("a folder has that name")
    except OSError as error:
        raise ValueError(
            f"the judge cannot be written as {file} ({error}): name another file by --judge (evaluate.py) or --output"
        ) from None
    kind, names = labels(rows)
    learned = [row for row in rows if not is_aside(row)]
    aside = [row for row in rows if is_aside(row)]
    if kind == "images":
        learned = learned[:IMAGES]
        names = [row["file_name"] for row in learned]
    glyphs = load_glyphs([row["file"] for row in learned], 2 * SIDE)
    # 24 times each glyph: a few hundred steps for a handful, and no end of an hour for a hundred thousand
    steps = max_train_steps or min(max(24 * len(learned) // BATCH, 500), 4000)
    net = fit(np.uint8(glyphs * 255 + 0.5), multi_hot(learned, kind, names), kind, steps)
    judge = Judge(net, kind, names, {"version": VERSION, "data": fingerprint(dataset), "learned_from": len(learned)})
    unseen = aside + held_out_rows(dataset)
    unseen_glyphs = load_glyphs([row["file"] for row in unseen])
    figures = held_out_figures(judge, unseen_glyphs, multi_hot(unseen, kind, names))
    judge.info.update(steps=steps, held_out=len(unseen), held_out_figures=figures)
    if "character" in learned[0] and len(learned) >= FEWEST and len(unseen) >= 100:
        halved = glyphs.reshape(len(glyphs), SIDE, 2, SIDE, 2).mean((2, 4))
        try:
            critic, judge.info["critic"] = make_critic(lambda glyphs: judge.look(glyphs).maps, halved, unseen_glyphs)
            judge = judge._replace(critic=critic)
        except ValueError as error:  # characters that cannot be taken apart
            print(f"no critic of legibility: {error}", file=sys.stderr)
    save_judge(judge, file)
    return judge


def judge_of(dataset, file=None):
    """The judge of `dataset`: the one that is there where it fits the data, else a new one, saying so.

    file: in place of the one in the dataset's folder. What somebody named is never written over: ValueError.
    """
    kept = Path(file or Path(dataset, FILE))
    judge, why_not = open_judge(kept, fingerprint(dataset))
    if judge is None:
        if file and kept.exists():
            raise ValueError(f"{kept}: {why_not}; name another file, or remove it")
        print(f"making the judge {kept}: {why_not}", file=sys.stderr)
        judge = make_judge(dataset, kept)
    return judge


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--dataset", required=True, metavar="DIR", help="an imagefolder with a train split, such as data/kanji")
    add("--output", metavar="FILE", help=f"where it goes (DIR/{FILE})")
    add("--max_train_steps", type=int, metavar="N", help="batches of 64 (24 times each glyph)")
    args = parser.parse_args()
    try:
        judge = make_judge(args.dataset, args.output, args.max_train_steps)
    except (OSError, ValueError) as error:
        sys.exit(f"metrics.components: {error}")
    except KeyboardInterrupt:
        sys.exit("metrics.components: stopped; nothing was kept")
    told = judge.info["held_out_figures"] | judge.info.get("critic", {})
    print(f"{args.output or Path(args.dataset, FILE)}: {len(judge.names)} {judge.kind}")
    print(f"on {judge.info['held_out']} held out:", ", ".join(f"{name} {value:.3f}" for name, value in told.items()))


if __name__ == "__main__":
    main()
