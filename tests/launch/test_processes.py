"""accelerate is told what the machine has, or what the user's own file says."""

import pytest
import yaml

from launch.processes import arguments, core_count, gpu_count, read_config


def test_the_shipped_file_leaves_the_number_of_processes_to_the_machine(root):
    config = read_config(root / "accelerate_config.yaml")
    assert arguments(config, gpus=0) == ([], 1, "the CPU")
    assert arguments(config, gpus=1) == ([], 1, "1 GPU")
    assert arguments(config, gpus=4) == (["--multi_gpu", "--num_processes=4", "--main_process_port=0"], 4, "4 GPUs")


@pytest.mark.parametrize(
    ("config", "gpus", "expected"),
    [
        # what `accelerate config` writes has num_processes, and is obeyed
        ({"distributed_type": "NO", "num_processes": 1}, 4, ([], 1, "1 GPU")),
        ({"distributed_type": "NO", "num_processes": 1, "use_cpu": True}, 4, ([], 1, "the CPU")),
        ({"distributed_type": "NO", "use_cpu": True}, 4, ([], 1, "the CPU")),
        ({"distributed_type": "MULTI_GPU", "num_processes": 2}, 4, ([], 2, "2 GPUs")),
        ({"distributed_type": "MULTI_GPU", "num_processes": 8, "num_machines": 2}, 4, ([], 4, "4 GPUs")),
        (
            {"distributed_type": "MULTI_CPU", "num_processes": 2, "use_cpu": True},
            0,
            (["--multi_gpu"], 2, "the CPU, 2 processes with gloo"),
        ),
        # mpirun starts the processes by itself
        (
            {"distributed_type": "MULTI_CPU", "num_processes": 2, "use_cpu": True, "mpirun_config": {"a": "b"}},
            0,
            ([], 2, "the CPU"),
        ),
    ],
)
def test_a_users_own_file_is_obeyed(config, gpus, expected):
    assert arguments(config, gpus) == expected


@pytest.mark.parametrize("kind", ["MULTI_GPU", "FSDP", "DEEPSPEED"])
@pytest.mark.parametrize("gpus", [0, 1])
def test_more_processes_than_gpus_are_refused(kind, gpus):
    """Without a GPU, accelerate starts that many trainings that know nothing of each other, in one folder."""
    with pytest.raises(ValueError, match="lower num_processes"):
        arguments({"distributed_type": kind, "num_processes": 2}, gpus)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no distributed_type"),
        ("- a", "no distributed_type"),
        ("num_processes: 2", "no distributed_type"),
        ("distributed_type: [", "not YAML"),
        ("distributed_type: NO", "in quotes"),  # a bare NO is false
        ("distributed_type: 'NO'\nmixed_precision: no", "in quotes"),
        ("distributed_type: MULTI_GPU", "needs num_processes"),
        ("distributed_type: 'NO'\nnum_processes: two", "not a number of processes"),
        ("distributed_type: 'NO'\nnum_processes: 0", "not a number of processes"),
        ("distributed_type: 'NO'\nnum_processes: true", "not a number of processes"),
        ("distributed_type: 'NO'\nuse_cpu: \xff", "not YAML"),
    ],
)
def test_a_bad_file_is_one_line_that_names_it(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=message) as error:
        read_config(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_accelerate_reads_the_shipped_file(root):
    config_args = pytest.importorskip("accelerate.commands.config.config_args")
    config = config_args.load_config_from_file(str(root / "accelerate_config.yaml"))
    assert config.num_processes == 1
    assert not config.use_cpu


def test_the_comments_of_the_shipped_file_make_two_processes(root):
    """The lines that a reader would uncomment are right."""
    text = (root / "accelerate_config.yaml").read_text("utf-8")
    lines = [line[1:] for line in text.splitlines() if line.startswith("#     ")]
    config = yaml.safe_load("\n".join(lines))
    assert arguments(config, gpus=0) == (["--multi_gpu"], 2, "the CPU, 2 processes with gloo")


def test_gpus_are_counted_as_torch_counts_them():
    torch = pytest.importorskip("torch")
    assert gpu_count() == torch.cuda.device_count()


def test_there_is_a_core():
    assert core_count() >= 1
