"""What a launch would train on: how many rows there are, and what a training would make of them.

Findings are as in launch/traps.py.
"""

from pathlib import Path

from launch import hub
from launch.data_lint import Facts
from launch.data_lint import look as lint
from launch.traps import Findings, Launch

FEW = 0.03  # of the images: more blank ones than that, and the model learns to draw nothing


def dataset(mode: str, launch: Launch, timeout: float, budget: float | None) -> tuple[int | None, list]:
    """(rows of the data, findings about it); None where the rows are not known. `timeout`: for the Hub, in seconds;
    `budget`: for the images, see launch.data_lint.look()."""
    args = launch.args
    name, folder = args.get("dataset_name"), args.get("train_data_dir")
    if name == "imagefolder":
        name = None
    if name and hub.is_path(name):
        if not Path(name).is_dir():
            return None, [("Error", f"--dataset_name={name}: no such folder; name one that is there, or USER/NAME")]
        splits = [path for path in (Path(name), Path(name, "train")) if list(path.glob("metadata.*"))]
        folder = str(splits[0]) if splits else None
    elif name:
        folder = None
    if folder:
        if not launch.official and "caption_column" not in args:
            return None, [("Not seen", f"the data: {launch.script}.py reads it in a way of its own")]
        return look_at_folder(launch, Path(folder), budget)
    if not name:
        return None, []

    card, findings = hub.ask(mode, timeout, "dataset", name, "README.md", None)
    rows, columns = hub.rows_and_columns(card or "", args.get("dataset_config_name"))
    if rows == 0:
        findings.append(("Error", f"{name} has no split `train`, says its card: the script trains on nothing else"))
    elif rows:
        findings.append(("Data", f"{rows:,} rows in {name}, says its card"))
        findings += row_traps(launch, rows, columns)
    elif card is not None:
        findings.append(("Not seen", f"the data: the card of {name} does not say how many rows it has"))
    if card is not None:
        findings.append(("Not seen", f"the images and captions of {name}"))
    return rows, findings


def look_at_folder(launch: Launch, folder: Path, budget: float | None) -> tuple[int | None, list]:
    """As dataset(), for an imagefolder of this machine."""
    if not folder.is_dir():  # launch.flags has made sure that it can be built
        return None, [("Not seen", f"the data: {folder} is not built yet")]
    if nested := nested_splits(folder) if launch.official else []:
        return None, nested
    args = launch.args
    tokenizer = None
    if launch.official and (base := args.get("pretrained_model_name_or_path")):
        file = hub.find("model", base, "tokenizer/vocab.json", args.get("revision"))
        file = file or hub.find("model", base, "tokenizer/tokenizer.json", args.get("revision"))
        tokenizer = file and file.parent
    try:
        facts = lint(folder, args.get("caption_column") or "text", tokenizer, budget)
    except (OSError, ValueError) as error:
        return None, [("Error", str(error))]
    if not facts.images:
        return None, [("Error", f"no images in {folder}")]
    largest = "" if facts.largest == facts.smallest else f" to {facts.largest[0]} x {facts.largest[1]}"
    size = f", {facts.smallest[0]} x {facts.smallest[1]}{largest} pixels" if facts.smallest else ""
    findings = [("Data", f"{facts.images:,} images in {folder}{size}, {facts.captions:,} captions")]
    if facts.looked_at < facts.images:
        findings.append(("Not seen", f"{facts.images - facts.looked_at:,} of the images: a launch looks at them all"))
    findings += row_traps(launch, facts.rows, facts.columns)
    findings += image_traps(launch, facts)
    findings += caption_traps(launch, facts)
    return facts.rows, findings


def nested_splits(folder: Path) -> list[tuple[str, str]]:
    """The error that everything below `folder` is trained on, where that is more than one split."""
    splits = [path.name for path in sorted(folder.iterdir()) if path.is_dir() and list(path.glob("metadata.*"))]
    if (folder / "build.json").is_file() or len(splits) > 1 or "test" in splits:
        train = folder / ("train" if "train" in splits or not splits else splits[0])
        what = f" ({', '.join(splits)})" if splits else ""
        return [("Error", f"all that lies below {folder}{what} would be trained on: --train_data_dir={train}")]
    return []


def row_traps(launch: Launch, rows: int, columns: set[str]) -> Findings:
    """What the number of rows and the names of the columns tell."""
    args = launch.args
    most = args.get("max_train_samples")
    if launch.official and isinstance(most, int) and most > rows:
        yield "Error", f"--max_train_samples={most} is more than the {rows:,} rows, which is an error: leave it out"
    for flag in ("image_column", "caption_column"):
        if columns and args.get(flag) and args[flag] not in columns:
            yield "Error", f"--{flag}={args[flag]}: the data has no such column, only {', '.join(sorted(columns))}"
    if args.get("random_flip"):
        if "character" in columns:
            yield "Error", "--random_flip teaches mirrored characters: leave it out"
        else:
            yield "Warning", "--random_flip mirrors every other image, writing too: leave it out if they have any"


def image_traps(launch: Launch, facts: Facts) -> Findings:
    """What is wrong with the images. Our own trainers fit them into a square on white, the official ones do not."""
    args = launch.args
    for kind, text in (
        (facts.missing, "images that rows name are not there"),
        (facts.unreadable, "images cannot be read"),
        (facts.held_out, "images are in the split test too, which is to be drawn without having been seen"),
    ):
        if kind:
            yield "Error", f"{len(kind):,} {text}: {some(kind)}; take their rows out, or build the data anew"
    if facts.transparent and launch.official:
        yield (
            "Error",
            f"{len(facts.transparent):,} images are transparent, which becomes black: {some(facts.transparent)}; save "
            "them on white paper, without alpha",
        )
    transparent = set(facts.transparent)  # of which nothing is left without alpha: on paper they may well differ
    if blank := [name for name in facts.blank if name not in transparent]:
        kind = "Error" if len(blank) > FEW * facts.images else "Warning"
        yield kind, f"{len(blank):,} images are blank: {some(blank)}; take their rows out"
    if twins := [names for names in facts.duplicates if not transparent.intersection(names)]:
        yield "Warning", f"{len(twins):,} images are there more than once, such as {' and '.join(twins[0][:2])}"
    if facts.without_row:
        yield "Note", f"{len(facts.without_row):,} images have no row, and are left out: {some(facts.without_row)}"
    if facts.not_square and launch.official:
        cut = (
            "--center_crop cuts their ends off"
            if args.get("center_crop")
            else "they are cut at a random place, through strokes (--center_crop always cuts the ends off)"
        )
        yield "Warning", f"{len(facts.not_square):,} images are not square: {cut}; pad them: {some(facts.not_square)}"
    resolution = args.get("resolution")
    if facts.smallest and isinstance(resolution, int) and 2 * min(facts.smallest) < resolution:
        width, height = facts.smallest
        yield (
            "Warning",
            f"images down to {width} x {height} pixels are blown up to {resolution}, and blurred: "
            f"--resolution={max(2 * min(facts.smallest) // 64 * 64, 64)}, or larger images",
        )


def caption_traps(launch: Launch, facts: Facts) -> Findings:
    """What is wrong with the captions."""
    column = launch.args.get("caption_column") or "text"
    if column not in facts.columns:
        return  # said by row_traps()
    if facts.bad_captions:
        yield (
            "Error",
            f"{len(facts.bad_captions):,} images have no caption, neither a text nor a list of texts, in the column "
            f"{column}: {some(facts.bad_captions)}; write one, or take their rows out",
        )
    if facts.too_long and launch.official:
        caption, tokens = facts.too_long[0]
        yield (
            "Warning",
            f"{len(facts.too_long):,} captions are longer than {facts.limit} tokens and are cut, the longest of "
            f"{tokens}: {caption[:60]!r}...; shorten them",
        )
    if facts.maybe_too_long and launch.official:
        yield (
            "Not seen",
            f"whether {facts.maybe_too_long:,} long captions fit into {facts.limit} tokens: the tokenizer is not here",
        )


def some(names: list[str]) -> str:
    """Up to three of them."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
