"""runs/NAME remembers: recipe.yaml (recipe and trailing flags in one) and run.json (command, versions, data, dates).

    python -m launch.record check  RECIPE SCRIPT FLAGS...     may this start, go on, or is it done?
    python -m launch.record start  RECIPE SCRIPT COMMAND...   written before training
    python -m launch.record finish OUTPUT_DIR                 the script ended well

`check` prints its answer as assignments, quoted for the shell, and changes nothing.
"""

import contextlib
import fcntl
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import yaml

from launch import hub
from launch.flags import PLAIN_NUMBER, Setting, read_command_line, read_recipe, script_flags
from launch.resume import newest_whole_checkpoint

LENGTH = ("max_train_steps", "num_train_epochs")
# What may differ when a run goes on: how long, how often something is saved or drawn, and where it is logged.
HARMLESS = (*LENGTH, "checkpointing_", "checkpoints_total_limit", "validation_", "num_validation_images", "report_to")
HARMLESS += ("logging_dir", "tracker_", "resume_from_checkpoint", "output_dir", "dataloader_num_workers")
# What models/find.py needs to know beside the weights: what they were tuned from, and how they are to be drawn with.
DRAWING = ("pretrained_model_name_or_path", "revision", "variant", "resolution", "prediction_type")
OWN = (".lock", "recipe.yaml", "recipe.yaml.tmp", "run.json.tmp")  # what a launch that was killed early may leave
LOCK = 9  # the file descriptor on which launch_training.sh holds OUTPUT_DIR/.lock


def read_run(run: Path) -> tuple[dict, dict[str, Setting]]:
    """(run.json, recipe.yaml's settings) of a run's folder; two empty dicts if nothing was launched into it.

    Raises ValueError if the folder holds something that no launch recorded.
    """
    if (run / "run.json").is_file() and (run / "recipe.yaml").is_file():
        try:
            return json.loads((run / "run.json").read_text("utf-8")), read_recipe(run / "recipe.yaml")
        except ValueError as error:
            raise ValueError(f"{run}: its run.json or recipe.yaml cannot be read ({error})") from None
    if run.is_dir() and any(path.name not in OWN for path in run.iterdir()):
        raise ValueError(f"{run} holds files but no run.json of a launch: choose another --output_dir")
    if run.exists() and not run.is_dir():
        raise ValueError(f"{run} is a file: choose another --output_dir")
    return {}, {}


def differences(old: dict[str, Setting], new: dict[str, Setting]) -> list[str]:
    """The keys in which two sets of settings differ and which change what is trained."""
    return [
        key
        for key in sorted(old.keys() | new.keys())
        if not key.startswith(HARMLESS) and _comparable(old.get(key)) != _comparable(new.get(key))
    ]


def _comparable(setting: Setting | None):
    """1e-4 and 0.0001 are the same, and so are `a` and a list of one `a`."""
    if setting is None or setting.value is True:
        return setting and setting.value
    texts = [setting.value] if isinstance(setting.value, str) else setting.value
    with contextlib.suppress(ValueError):
        return [float(text) for text in texts]
    return texts


def is_longer(old: dict[str, Setting], new: dict[str, Setting]) -> bool:
    """Whether `new` asks for more training than `old` did; where that cannot be told, the script may decide."""
    for key in LENGTH:
        before, after = _comparable(old.get(key)), _comparable(new.get(key))
        if before != after and not (before and after and after < before):
            return True
    return False


def told_by_card(dataset: str) -> dict:
    """{fingerprint, caption_template} that the card of one of our published datasets tells, as far as it can be had."""
    try:
        card = hub.read("dataset", dataset, "README.md", None, timeout=5) if dataset else ""
    except (OSError, ValueError):
        card = ""
    fingerprint = re.search(r"^Fingerprint of the content: `(\w+)`", card, re.MULTILINE)
    template = re.search(r"caption to draw a new word by is `([^`\n]+)`", card)
    return {
        "fingerprint": fingerprint and fingerprint[1],
        "caption_template": template[1] if template else "{meanings}",
    }


def data_of(settings: dict[str, Setting]) -> dict:
    """{name, fingerprint, caption_template} of the data that a run is trained on."""
    if "train_data_dir" not in settings:
        name = settings["dataset_name"].value if "dataset_name" in settings else ""
        return {"name": name or None, **told_by_card(name)}
    folder = Path(settings["train_data_dir"].value)
    file = folder.parent / "build.json"
    try:
        build = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{file} cannot be read ({error}): delete {folder.parent}, to have it built anew") from None
    name = folder.parent.name if build else folder.name
    return {
        "name": name,
        "fingerprint": build.get("fingerprint"),
        "caption_template": build.get("caption_template", "{meanings}"),
    }


def check(recipe: str, script: str, *flags: str) -> None:
    """Prints state (new, resume or done) and resume (the checkpoint). Raises ValueError if the run is another one."""
    settings = read_command_line(list(flags))
    run = Path(settings["output_dir"].value)
    refuse_company(script, settings["output_dir"].value)
    record, recorded = read_run(run)
    newest, passed_over = newest_whole_checkpoint(run)
    for line in passed_over:
        print(f"Passing over {line}", file=sys.stderr)

    state, resume = "new", ""
    if record and (record.get("finished") or newest):
        differing = differences(recorded, settings)
        if Path(record["script"]).stem != Path(script).stem:
            differing.append("the script")
        # Data that is still to be built has no fingerprint yet: it is compared at the next launch.
        data = data_of(settings)
        if data["fingerprint"] and record["data"]["fingerprint"] != data["fingerprint"]:
            differing.append("the data's fingerprint")
        if differing:
            raise ValueError(
                f"{run} was trained with other settings ({', '.join(differing)}): "
                f"choose another --output_dir, or delete {run}"
            )
        if record.get("finished") and not is_longer(recorded, settings):
            state = "done"
        elif "resume_from_checkpoint" in settings and settings["resume_from_checkpoint"].value != "latest":
            state = "resume"  # from where the user says
        elif newest and (not Path(script).is_file() or "resume_from_checkpoint" in script_flags(Path(script))):
            state, resume = "resume", newest  # the script is not at hand only where nothing but --check is asked for
        elif record.get("finished"):
            raise ValueError(f"{run} is finished and holds no checkpoint to go on from: choose another --output_dir")
    print(f"state={state}\nresume={shlex.quote(resume)}")


def start(recipe: str, script: str, *command: str) -> None:
    """Writes recipe.yaml and run.json of the run that `command` (script and its flags at the end) is about to train."""
    settings = read_command_line(list(command[command.index(script) + 1 :]))
    resume = settings.pop("resume_from_checkpoint", None)
    run = Path(settings["output_dir"].value)
    try:
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ValueError(f"{run}: another launch is training there; choose another --output_dir") from None
    except OSError:
        pass  # not started by launch_training.sh, or on a file system without locks
    earlier, _ = read_run(run)
    data = data_of(settings)
    record = {
        "recipe": recipe,
        "script": script,
        "command": command,
        "data": {"name": data["name"], "fingerprint": data["fingerprint"]},
        "caption_template": data["caption_template"],
        **{key: settings[key].value for key in DRAWING if key in settings},
        "versions": _versions(),
        "git_commit": _git_commit(),
        "resumed_from": resume and resume.value,
        "started": earlier["started"] if resume and earlier else _now(),
        "finished": None,
    }
    write_atomically(run / "recipe.yaml", f"# {recipe} and the flags of the launch, in one.\n{to_yaml(settings)}")
    write_atomically(run / "run.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def refuse_company(script: str, output_dir: str) -> None:
    """Raises ValueError if a process on this machine trains into `output_dir`, of a launch that may have been killed.

    torch's launcher gives each process a session of its own and none the lock, so a kill of the launch can leave them.
    """
    import psutil

    own = {process.pid for process in [psutil.Process(), *psutil.Process().parents()]}
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        there = {script, f"--output_dir={output_dir}"} <= set(words) and process.info["cwd"] == os.getcwd()
        if there and process.pid not in own:
            raise ValueError(
                f"{output_dir}: another launch is training there, process {process.pid}: wait for it or kill it, or "
                "choose another --output_dir"
            )


def finish(output_dir: str) -> None:
    """Notes in run.json when the script ended well."""
    file = Path(output_dir, "run.json")
    record = json.loads(file.read_text("utf-8"))
    record["finished"] = _now()
    write_atomically(file, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def to_yaml(settings: dict[str, Setting]) -> str:
    """The recipe that `read_recipe` reads as `settings`: numbers as they were, texts in quotes where need be."""

    def written(value):
        if value is True:
            return "true"
        if isinstance(value, list):
            return f"[{', '.join(map(written, value))}]"
        if PLAIN_NUMBER.fullmatch(value):
            return value
        # dumped as a list of one, whose brackets are taken off: so it has the quotes that it needs inside of a list
        return yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=10**9).strip()[1:-1]

    return "".join(f"{key}: {written(value)}\n" for key, (value, _) in settings.items())


def write_atomically(file: Path, text: str) -> None:
    """Writes `text` so that a kill or a full disk leaves the old file or the new one, never half of one."""
    partial = file.with_name(f"{file.name}.tmp")
    with partial.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(file)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _versions() -> dict[str, str]:
    """Installed versions of Python and of what requirements.txt names."""
    versions = {"python": platform.python_version()}
    for name in re.findall(r"^[A-Za-z0-9][\w.-]*", Path("requirements.txt").read_text("utf-8"), re.MULTILINE):
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _git_commit() -> str | None:
    """Commit of this checkout, with "-dirty" behind it if a tracked file was changed; None where there is no git."""
    if not Path(".git").exists():  # unpacked from an archive, perhaps inside another project's checkout
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return None
    return answer.stdout.strip() or None


if __name__ == "__main__":
    try:
        {"check": check, "start": start, "finish": finish}[sys.argv[1]](*sys.argv[2:])
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
