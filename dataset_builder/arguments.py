"""Options that every source has, and types for argparse that say what a number may be."""

from pathlib import Path


def add_output_arguments(parser, name: str) -> None:
    """What is written where, for the source `name`."""
    group = parser.add_argument_group("what is written")
    group.add_argument(
        "--output", type=Path, metavar="DIR", default=Path("data", name), help="folder (default: %(default)s)"
    )
    group.add_argument(
        "--resolution",
        type=whole(16, 4096),
        default=512,
        metavar="PIXELS",
        help="width and height of the images (default: %(default)s)",
    )
    group.add_argument(
        "--test_fraction",
        type=number(0, 0.99),
        default=0.05,
        metavar="FRACTION",
        help="share of the characters held out in test/, chosen by a hash of the code point so that a new release of "
        "the sources moves nobody across; with 0 there is no test/ (default: %(default)s)",
    )
    group.add_argument(
        "--max_samples", type=whole(1), metavar="N", help="a cross-section of N images, always the same (default: all)"
    )
    group.add_argument(
        "--num_proc",
        type=whole(1, 256),
        default=1,
        metavar="N",
        help="processes that draw; the result is the same (default: %(default)s)",
    )
    group.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a dataset built with other options or sources, once the new one is whole",
    )
    group = parser.add_argument_group("the Hub (huggingface.co), and Parquet as it wants it")
    group.add_argument(
        "--export",
        choices=("parquet",),
        help="write DIR-parquet too: Parquet files with the images inside, a picture and a card; "
        "datasets.load_dataset opens the folder, and it can be uploaded as it is",
    )
    group.add_argument(
        "--push_to_hub",
        metavar="USER/NAME",
        help="write DIR-parquet too, and publish it as this dataset, in one commit. Private unless --public is said; "
        "refused where the dataset is public already and --public is not said. The login is the one of `hf auth login` "
        "or HF_TOKEN",
    )
    group.add_argument(
        "--public",
        action="store_true",
        help="with --push_to_hub: for everybody to see, once everything is uploaded; this makes a private dataset of "
        "that name public",
    )


def number(low: float, high: float):
    """A number from `low` to `high`."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise ValueError
        return value

    parse.__name__ = f"number from {low:g} to {high:g}"  # argparse: "invalid number from 0 to 109 value: '-1'"
    return parse


def whole(low: int, high: float = float("inf")):
    """A whole number from `low` to `high`."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            raise ValueError
        return value

    parse.__name__ = f"whole number from {low}" + (f" to {high}" if high < float("inf") else "")
    return parse
