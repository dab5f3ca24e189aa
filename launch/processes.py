"""accelerate's config file -> the arguments that `accelerate launch` needs beside it, so that it does what it says.

    python -m launch.processes CONFIG

prints them as assignments, quoted for the shell. What accelerate 1.15 does by itself, and what is added here:

- no num_processes: it starts one process however many GPUs there are. Here: one for each GPU.
- MULTI_CPU without mpirun: it starts one process and says nothing. Here: as many as the file says, by torch's own
  launcher (which accelerate calls multi_gpu), with gloo between them.
- MULTI_GPU with more processes than GPUs: without a GPU each trains on its own, all into one folder. Here: an error.
- OMP_NUM_THREADS unset: one thread a process, whatever the machine has. Here: the machine's cores, shared out.
- GOMP_SPINCOUNT unset: a thread that waits for another spins for a while. On cores that somebody else uses too, that
  made two threads six times slower than one. Here: it soon sleeps, which cost nothing measurable on idle cores.
"""

import ctypes
import importlib.util
import os
import re
import shlex
import sys
from pathlib import Path

import yaml


def read_config(path: Path) -> dict:
    """accelerate's config file. Raises OSError, or ValueError for what accelerate would stumble over later."""
    try:
        config = yaml.safe_load(path.read_text("utf-8"))  # accelerate reads .json by the same keys, and JSON is YAML
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(config, dict) or "distributed_type" not in config:
        raise ValueError(f"{path}: no distributed_type; `accelerate config --config_file {path}` writes a whole file")
    for key in ("distributed_type", "mixed_precision"):
        if config.get(key) is False:
            raise ValueError(f"{path}: {key} is read as false by YAML: write 'NO' in quotes ('no' for mixed_precision)")
    count = config.get("num_processes")
    if count is None and config["distributed_type"] != "NO":
        raise ValueError(f"{path}: {config['distributed_type']} needs num_processes: 2 or more")
    if count is not None and (type(count) is not int or count < 1):
        raise ValueError(f"{path}: num_processes is {count!r}, not a number of processes")
    return config


def arguments(config: dict, gpus: int) -> tuple[list[str], int, str]:
    """(arguments beside --config_file, processes on this machine, what they run on) on a machine with `gpus` GPUs.

    Raises ValueError if the config asks for more GPUs than there are.
    """
    kind = config["distributed_type"]
    processes = config.get("num_processes")
    if processes is None and gpus > 1 and not config.get("use_cpu"):
        # Port 0: any that is free, so that two runs on one machine do not meet.
        return ["--multi_gpu", f"--num_processes={gpus}", "--main_process_port=0"], gpus, f"{gpus} GPUs"
    local = max((processes or 1) // config.get("num_machines", 1), 1)
    if kind == "MULTI_CPU" and not config.get("mpirun_config"):
        return ["--multi_gpu"] if processes > 1 else [], local, f"the CPU, {processes} processes with gloo"
    if kind in ("MULTI_GPU", "FSDP", "DEEPSPEED") and local > gpus:
        raise ValueError(f"{kind} with {local} processes on a machine with {gpus} GPUs: lower num_processes")
    if config.get("use_cpu") or not gpus:
        return [], local, "the CPU"
    return [], local, "1 GPU" if local == 1 else f"{local} GPUs"


def gpu_count() -> int:
    """The number of GPUs that torch will see. The driver is asked: it knows CUDA_VISIBLE_DEVICES, MIG and cgroups."""
    torch = importlib.util.find_spec("torch")  # found, not imported
    version = Path(torch.origin).with_name("version.py").read_text("utf-8") if torch else ""
    built_for = re.search(r"^cuda.*'(\d+)\.", version, re.MULTILINE)  # cuda: Optional[str] = '12.8', or None
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    newest, count = ctypes.c_int(), ctypes.c_int()
    if not built_for or driver.cuDriverGetVersion(ctypes.byref(newest)) or newest.value // 1000 < int(built_for[1]):
        return 0  # torch is built for no GPU, or for a later driver
    return 0 if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value


def core_count() -> int:
    """CPU cores that this process may use: those of its affinity mask, or of its container's quota if that is less."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(min(cores, int(quota) // int(period)), 1)
    except (OSError, ValueError):  # no cgroup v2, or no quota ("max")
        return cores


def main(path: str) -> None:
    """Prints the answers: accelerate (arguments), devices (for people), and the environment of the processes."""
    config = read_config(Path(path))
    try:
        extra, local, devices = arguments(config, gpu_count())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    threads = max(core_count() // local, 1)
    print(f"accelerate=({shlex.join(['--config_file', path, *extra])})")
    print(f"devices={shlex.quote(devices)}")
    print(f"export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-{threads}}} GOMP_SPINCOUNT=${{GOMP_SPINCOUNT:-1000}}")
    if config["distributed_type"] == "MULTI_CPU":
        print("export ACCELERATE_USE_CPU=true")  # accelerate passes use_cpu on only where it starts one process


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
