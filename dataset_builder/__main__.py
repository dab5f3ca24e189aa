"""Build a dataset for diffusers' training scripts: `python -m dataset_builder NAME [--option value ...]`.

It writes an imagefolder to data/NAME (or --output): train/ and test/ with PNGs and metadata.jsonl, README.md (the
dataset card), dropped.jsonl (what was left out, and why) and build.json (sources, options, counts, fingerprint).
A build that was interrupted goes on where it stopped; one that is there already is left alone.

--export parquet writes data/NAME-parquet besides, the dataset as it is published; --push_to_hub USER/NAME publishes it.

`python -m dataset_builder NAME --help` lists the options of a source.
"""

import argparse
import errno
import importlib
import pkgutil
import sys
from pathlib import Path

from dataset_builder import DataError, download, hub, imagefolder, parquet, sources
from dataset_builder.arguments import add_output_arguments

# Options that say how to build, not what the dataset is.
HOW = {"source", "output", "num_proc", "overwrite", "refresh", "export", "push_to_hub", "public"}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {message} (--help says what there is)\n")


def parse(argv: list[str] | None) -> argparse.Namespace:
    """The command line; exits with 2 and one line where it is wrong."""
    style = {"formatter_class": argparse.RawDescriptionHelpFormatter, "allow_abbrev": False}
    parser = Parser(prog="python -m dataset_builder", description=__doc__, **style)
    names = parser.add_subparsers(dest="source", metavar="NAME", required=True, title="sources")
    for module in pkgutil.iter_modules(sources.__path__):
        source = importlib.import_module(f"dataset_builder.sources.{module.name}")
        summary = source.__doc__.split("\n")[0]
        sub = names.add_parser(module.name, help=summary, description=source.__doc__, **style)
        add_output_arguments(sub, module.name)
        source.add_arguments(sub)
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Build what the command line asks for; exits with 1 and one line where that cannot be done."""
    args = parse(argv)
    try:
        source = importlib.import_module(f"dataset_builder.sources.{args.source}")
        source.check(args)
        if args.public and args.push_to_hub is None:
            raise DataError("--public goes with --push_to_hub USER/NAME")
        if args.push_to_hub is not None:
            hub.check(args.push_to_hub, args.public)  # before a build that takes minutes
        build(args, source)
        if args.export or args.push_to_hub:
            publish(args, source)
    except DataError as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        hint = "; the same command goes on from here once there is room" if full else ""
        said = " ".join(str(error.strerror or error).split())
        sys.exit(f"error: {error.filename or f'writing {args.output}'}: {said}{hint}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on from here")


def build(args: argparse.Namespace, source) -> None:
    """Fetch the source's files, build, and say what came of it."""
    files, refresh = source.files(args), getattr(args, "refresh", False)
    not_content = HOW | {file.flag.removeprefix("--") for file in files}
    asked = {
        "source": args.source,
        "sources": [{"name": file.name, "given": file.given, "licence": file.licence} for file in files],
        "options": {key: value for key, value in sorted(vars(args).items()) if key not in not_content},
        "caption_template": source.caption_template(args),
    }
    # A URL stands for what was downloaded from it: a dataset that is there needs no network to be recognised.
    for file, entry in zip(files, asked["sources"], strict=True):
        if refresh or not download.is_url(file.given):
            entry["sha256"] = download.sha256(local_copy(file, refresh))
    if built := imagefolder.existing(args.output):
        changes = imagefolder.differences(built, asked)
        if not changes:
            print(f"{args.output} is there already: {built['counts']['images']:,} images, built with these options")
            return
        if not args.overwrite:
            changes = "; ".join(changes)
            raise DataError(f"{args.output} has {changes}: --overwrite replaces it, --output DIR builds beside it")
    paths = [local_copy(file) for file in files]
    for file, path, entry in zip(files, paths, asked["sources"], strict=True):
        entry |= {"date": file.read_date(path), "sha256": download.sha256(path)}
    counts = imagefolder.build(args.output, source.samples(args, *paths), asked, source.CARD, args.num_proc)["counts"]
    print(
        f"{args.output}: {counts['images']:,} images; {counts['train']:,} rows to train on, {counts['test']:,} held "
        f"out; {counts['dropped']:,} entries left out (dropped.jsonl says why)"
    )


def publish(args: argparse.Namespace, source) -> None:
    """Export what was built as Parquet, push it if that is asked for, and say how it is opened."""
    folder = parquet.export(args.output, source.CARD, args.push_to_hub)
    size = sum(shard.stat().st_size for shard in folder.glob("data/*.parquet"))
    print(f'{folder}: {size / 1e6:,.1f} MB of Parquet; load_dataset("{folder}") opens it')
    if args.push_to_hub:
        url = hub.push(folder, args.push_to_hub, args.public)
        whose = "for everybody to see" if args.public else "private: only whom you let in on the Hub opens it"
        print(f'{url} is up to date, {whose}; load_dataset("{args.push_to_hub}") opens it')


def local_copy(file: sources.SourceFile, refresh: bool = False) -> Path:
    """Where the file is on this machine, downloaded if need be; raises DataError that names the option."""
    if download.is_url(file.given):
        try:
            return download.fetch(file.given, refresh)
        except DataError as error:
            raise DataError(f"{error}. Name a local copy or a mirror with {file.flag} PATH_OR_URL") from None
    path = file.path or Path(file.given).expanduser()
    if not path.exists():
        raise DataError(f"{file.flag} {file.given}: no such file or folder")
    return path


if __name__ == "__main__":
    main()
