"""The dataset card: hub_dataset_card.md, filled in for a folder of images or for the Parquet that is published."""

import shlex
import string
from pathlib import Path

from dataset_builder.download import is_url

TEMPLATE = Path(__file__).resolve().parent.parent / "hub_dataset_card.md"
SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))  # the Hub's names


def fill(result: dict, texts: dict, parquet: str | None = None) -> str:
    """The card of the build whose build.json is `result`, with the `texts` of its source (its CARD).

    `parquet` is what load_dataset opens, a name on the Hub or a folder, where the card is for an export; None where it
    is for the imagefolder itself.
    """
    counts, source = result["counts"], result["source"]
    splits = [split for split in ("train", "test") if counts[split]]
    if parquet is None:
        path, picture = "{}/**", ""
        load, recipe = f'load_dataset("imagefolder", data_dir="data/{source}")', f"train_data_dir: data/{source}/train"
    else:
        path, picture = "data/{}-*", "\n\n![Characters from all over the training split](preview.png)"
        load, recipe = f'load_dataset("{parquet}")', f"dataset_name: {parquet}"
    return string.Template(TEMPLATE.read_text("utf-8")).substitute(
        texts,
        size=next((size for limit, size in SIZES if counts["train"] + counts["test"] < limit), "1M<n<10M"),
        data_files="\n".join(f"      - split: {split}\n        path: {path.format(split)}" for split in splits),
        picture=picture,
        load=load,
        recipe=recipe,
        counts="\n".join(f"| {split} | {counts[split]:,} |" for split in splits),
        images=f"{counts['images']:,}",
        resolution=result["options"]["resolution"],
        dropped="\n".join(f"| {reason} | {n:,} |" for reason, n in counts["dropped_by_reason"].items())
        or "| nothing | 0 |",
        sources="\n".join(
            f"| {s['name']} | {given} | {s['date'] or 'not said'} | {s['licence']} | `{s['sha256']}` |"
            for s in result["sources"]
            # Whose disk a file was on is nobody's business once the card is published.
            for given in [s["given"] if is_url(s["given"]) else Path(s["given"]).name]
        ),
        command=command(source, result["options"]),
        caption_template=result["caption_template"],
        fingerprint=result["fingerprint"],
    )


def command(source: str, options: dict) -> str:
    """The command line that asks for these options."""
    words = ["python", "-m", "dataset_builder", source]
    for key, value in options.items():
        if value is True:
            words.append(f"--{key}")
        elif value is not None and value is not False:  # 0 is a value
            words += [f"--{key}", str(value)]
    return shlex.join(words)
