"""A copy of the launcher with a trainer, a dataset builder and a drawing verb of a few lines each."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TRAINER = """
import argparse, json, os, signal, sys, time, zipfile
from pathlib import Path

sys.stderr.write("the trainer runs\\n")
parser = argparse.ArgumentParser(allow_abbrev=False)
parser.add_argument("--output_dir", required=True)
parser.add_argument("--train_data_dir")
parser.add_argument("--max_train_steps", type=int, default=4)
parser.add_argument("--checkpointing_steps", type=int, default=1)
parser.add_argument("--learning_rate", type=float, default=1e-4)
parser.add_argument("--resume_from_checkpoint")
parser.add_argument("--mixed_precision", choices=["no", "fp16", "bf16"])
parser.add_argument("--validation_prompts", nargs="+")
parser.add_argument("--prompt", default="")
parser.add_argument("--use_ema", action="store_true")
parser.add_argument("--say_processes", action="store_true")
parser.add_argument("--load_data", action="store_true")
args = parser.parse_args()

run = Path(args.output_dir)
(run / "argv.json").write_text(json.dumps(sys.argv[1:]))
if args.load_data:
    from datasets import load_dataset
    load_dataset("imagefolder", data_dir=args.train_data_dir)
if args.say_processes:
    import torch
    from accelerate import Accelerator
    state = Accelerator().state
    total = torch.ones(1)
    if state.num_processes > 1:
        torch.distributed.all_reduce(total)
    print(f"rank {state.process_index} of {state.num_processes} on {state.device.type} by {state.backend}")
    print(f"{int(total)} answered; {torch.get_num_threads()} threads each")

def archive(path):
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("data", "0" * 100)

resumed = args.resume_from_checkpoint
first = int(resumed.rpartition("-")[2]) + 1 if resumed else 1
for step in range(first, args.max_train_steps + 1):
    with open(run / "steps.txt", "a") as file:
        file.write(f"{step}\\n")
    if step == int(os.environ.get("KILL_AT", 0)):
        os.kill(os.getpid(), signal.SIGKILL)
    if step == int(os.environ.get("PAUSE_AT", 0)):
        time.sleep(60)
    if step % args.checkpointing_steps == 0:
        checkpoint = run / f"checkpoint-{step}"
        checkpoint.mkdir(exist_ok=True)
        header = json.dumps({"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
        (checkpoint / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
        archive(checkpoint / "optimizer.bin")
        archive(checkpoint / "random_states_0.pkl")
sys.exit(int(os.environ.get("EXIT_STATUS", 0)))
"""

BUILDER = """
import json, sys
from pathlib import Path

folder = Path("data", sys.argv[1])
(folder / "train").mkdir(parents=True)
build = {"fingerprint": "f1", "caption_template": "a kanji meaning {meanings}"}
(folder / "build.json").write_text(json.dumps(build))
"""

GENERATE = """
import sys
from pathlib import Path

folder = Path("outputs", Path(sys.argv[1]).name)
folder.mkdir(parents=True, exist_ok=True)
(folder / "sheet.png").write_text(" ".join(sys.argv[2:]))
"""

TINY = "recipes/train_fake/tiny.yaml"
RECIPE = """
train_data_dir: data/tiny/train
output_dir: runs/tiny
"""


class Checkout:
    """A folder to launch in. `launch` runs launch_training.sh there, as a user would, and waits."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.run = folder / "runs" / "tiny"
        self.environment = os.environ | {"PYTHON": sys.executable}
        for name in ("OMP_NUM_THREADS", "GOMP_SPINCOUNT", "HF_UPDATE_DOWNLOAD_COUNTS", "HF_HUB_DISABLE_TELEMETRY"):
            self.environment.pop(name, None)  # what the launcher sets, and `make test` too

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def launch(self, *arguments, recipe=TINY, cwd=None, **environment) -> subprocess.CompletedProcess:
        command = [self.folder / "launch_training.sh", recipe, *arguments]
        environment = self.environment | environment
        return subprocess.run(command, cwd=cwd or self.folder, env=environment, capture_output=True, text=True)

    def record(self) -> dict:
        return json.loads((self.run / "run.json").read_text("utf-8"))

    def files(self) -> set[Path]:
        """Everything that is in the folder, but for what Python caches."""
        return {path for path in self.folder.rglob("*") if "__pycache__" not in path.parts}


@pytest.fixture
def checkout(tmp_path, root) -> Checkout:
    # The name has what a shell script without enough quotes stumbles over.
    copy = Checkout(tmp_path / "it's a 漢字 folder")
    shutil.copytree(root / "launch", copy.folder / "launch", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("launch_training.sh", "accelerate_config.yaml", "requirements.txt"):
        shutil.copy(root / name, copy.folder)
    copy.write("trainers/train_fake.py", TRAINER)
    copy.write(TINY, RECIPE)
    copy.write("dataset_builder/__main__.py", BUILDER)
    copy.write("dataset_builder/sources/tiny.py", "")
    copy.write("generate.py", GENERATE)
    return copy
