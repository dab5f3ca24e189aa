"""trainers/train_text_to_glyph.py, as accelerate launches it: real processes, tiny models."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from PIL import Image

TINY = "--resolution=16 --block_out_channels 32 32 --layers_per_block=1 --train_batch_size=4 --max_train_steps=6"
COMMON = f"{TINY} --learning_rate=1e-3 --checkpointing_steps=3 --report_to=none".split()
SHARED = ["--num_machines=1", "--mixed_precision=no", "--dynamo_backend=no"]
ONE = [*SHARED, "--num_processes=1"]
TWO = [
    *SHARED,
    "--num_processes=2",
    "--multi_gpu",
    "--main_process_port=0",
]  # what launch/processes.py makes of MULTI_CPU
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}


def tiny_encoder(folder, kind="bert"):
    """Save a text encoder of random weights with its tokenizer, as a hub would serve it."""
    import torch
    import transformers as tf
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<unk>", "</s>", *"abcdefghijklmnopqrstuvwxyz"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    tf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>", eos_token="</s>", model_max_length=77
    ).save_pretrained(folder)
    sizes = {"vocab_size": len(vocabulary), "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    if kind == "bert":
        model = tf.BertModel(tf.BertConfig(**sizes, intermediate_size=16))
    elif kind == "clip":
        model = tf.CLIPTextModel(tf.CLIPTextConfig(**sizes, intermediate_size=16, projection_dim=16))
    else:
        t5 = {"vocab_size": len(vocabulary), "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}
        model = tf.T5EncoderModel(tf.T5Config(**t5))
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return tiny_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """An imagefolder of ten images, some with several captions."""
    folder = tmp_path_factory.mktemp("data")
    rows = []
    for number in range(10):
        image = Image.new("L", (20, 20), 255)
        image.paste(0, (number, 2, number + 4, 18))
        image.save(folder / f"{number}.png")
        text = "abcdefghij"[number] * 3
        rows.append({"file_name": f"{number}.png", "text": text, "captions": [text, text[:1]]})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def command(root, data, encoder, output, *flags, launch=ONE):
    script = [str(root / "trainers" / "train_text_to_glyph.py"), f"--train_data_dir={data}"]
    own = [f"--text_encoder={encoder}", f"--output_dir={output}", *COMMON, *flags]
    return [sys.executable, "-m", "accelerate.commands.launch", *launch, "--quiet", *script, *own]


def train(root, *args, check=True, **kwargs):
    done = subprocess.run(command(root, *args, **kwargs), capture_output=True, text=True, env=ENVIRONMENT)
    assert not check or done.returncode == 0, done.stderr
    return done


def weights(run):
    return {str(file.relative_to(run)): file.read_bytes() for file in sorted(run.glob("unet*/*.safetensors"))}


@pytest.fixture(scope="module")
def finished(root, data, encoder, tmp_path_factory):
    """A run of 6 steps that was never stopped, and what it printed."""
    run = tmp_path_factory.mktemp("runs") / "finished"
    flags = ["--use_ema", "--caption_column=captions", "--lr_scheduler=cosine", "--gradient_accumulation_steps=2"]
    flags += ["--dropout=0.1", "--validation_prompts", "abc", "def", "--validation_steps=4", "--report_to=tensorboard"]
    return run, flags, train(root, data, encoder, run, *flags)


def test_a_run_is_a_pipeline_of_safetensors(finished):
    from models.text_to_glyph import TextToGlyphPipeline

    run, *_ = finished
    pickles = [file.name for file in run.glob("[!c]*/*") if file.suffix in (".bin", ".pt", ".pkl")]
    assert not pickles
    pipe = TextToGlyphPipeline.from_pretrained(run)
    assert pipe("abc", num_inference_steps=2).images[0].size == (16, 16)


def test_validation_leaves_a_sheet_and_tells_the_tracker(finished):
    run, *_ = finished
    assert Image.open(run / "validation" / "step-000004.png").width > 200
    events = b"".join(file.read_bytes() for file in run.glob("logs/**/events*"))
    assert b"validation" in events and b"loss" in events


def test_a_judge_tells_of_the_validation_drawings_and_changes_nothing_of_the_training(
    root, data, encoder, finished, tmp_path
):
    from metrics.components import make_judge

    uninterrupted, flags, _ = finished
    judged = tmp_path / "judged" / "train"
    judged.mkdir(parents=True)
    for number in range(20):
        image = Image.open(data / f"{number % 10}.png").rotate(number, fillcolor=255)
        image.save(judged / f"{number}.png")
    make_judge(judged.parent, max_train_steps=2)
    train(root, data, encoder, tmp_path / "run", *flags, f"--judge_dataset={judged.parent}")
    events = b"".join(file.read_bytes() for file in (tmp_path / "run").glob("logs/**/events*"))
    assert b"validation/copies" in events
    assert weights(tmp_path / "run") == weights(uninterrupted)


def test_a_run_killed_after_a_checkpoint_and_resumed_ends_in_the_same_bytes(root, data, encoder, finished, tmp_path):
    whole, flags, _ = finished
    process = subprocess.Popen(
        command(root, data, encoder, tmp_path, *flags, "--max_train_steps=6"),
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (tmp_path / "checkpoint-3").exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "unet").exists()
    again = train(root, data, encoder, tmp_path, *flags, "--resume_from_checkpoint=checkpoint-3")
    assert "steps 3 to 6" in again.stdout
    assert weights(tmp_path) == weights(whole)


def test_two_processes_train_one_model_and_resume_to_the_same_bytes(root, data, encoder, tmp_path):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    log = train(root, data, encoder, whole, "--use_ema", launch=TWO).stdout
    assert "process 1 of 2 on cpu, gloo" in log and "process 2 of 2 on cpu, gloo" in log
    assert "8 images a step" in log
    train(root, data, encoder, halves, "--use_ema", "--max_train_steps=3", launch=TWO)
    train(root, data, encoder, halves, "--use_ema", "--resume_from_checkpoint=latest", launch=TWO)
    assert weights(halves) == weights(whole)


@pytest.mark.parametrize("kind", ["t5", "clip"])
def test_any_text_encoder_and_cross_attention_train_and_draw(root, data, tmp_path, kind):
    from models.text_to_glyph import TextToGlyphPipeline

    attention = ["--down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", "--cross_attention_dim=16"]
    flags = [*attention, "--max_train_steps=1", "--channels=3", "--prediction_type=epsilon", "--snr_gamma=5"]
    train(root, data, tiny_encoder(tmp_path / "encoder", kind), tmp_path / "run", *flags)
    pipe = TextToGlyphPipeline.from_pretrained(tmp_path / "run")
    one, other = (pipe(prompt, num_inference_steps=1, generator=None).images[0] for prompt in ("abc", "def ghi"))
    assert one.mode == other.mode == "RGB"


def test_only_the_newest_checkpoints_are_kept_and_a_later_broken_one_pushes_none_out(root, data, encoder, tmp_path):
    (tmp_path / "checkpoint-9").mkdir()
    train(root, data, encoder, tmp_path, "--checkpointing_steps=2", "--checkpoints_total_limit=2")
    assert {folder.name for folder in tmp_path.glob("checkpoint-*")} == {f"checkpoint-{step}" for step in (4, 6, 9)}


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--learning_rate=1e30", "--max_grad_norm=1e30"], "the loss is nan at step"),
        (["--caption_column=words"], "has no column 'words'"),
        (["--image_column=picture"], "has no column 'picture'"),
        (["--resume_from_checkpoint=checkpoint-5"], "no such checkpoint"),
        (["--judge_dataset=nowhere"], "--judge_dataset nowhere has no judge (there is none yet): python -m"),
        (["--resolution=18"], "--resolution 18 is no multiple of 4"),
        (["--proportion_empty_prompts=1.5"], "is a share"),
        (["--train_batch_size=0"], "must be at least 1"),
        (["--dataset_name=user/name"], "name one of --train_data_dir and --dataset_name"),
        (["--down_block_types", "DownBlock2D"], "as long as each other"),
        (["--use_em"], "unrecognized arguments: --use_em"),
    ],
)
def test_what_cannot_work_is_one_line_and_no_model(root, data, encoder, tmp_path, flags, message):
    # without accelerate, whose own traceback --quiet takes away
    script = command(root, data, encoder, tmp_path / "run", *flags)
    script = [sys.executable, *script[script.index("--quiet") + 1 :]]
    done = subprocess.run(script, capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode != 0
    assert message in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run" / "unet").exists()
