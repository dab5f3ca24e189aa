"""A model in, a report out: every figure a number or a reason, nothing done twice, and bad input one clear line."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from tiny_run import save_tiny_run, unfinish

import evaluate
from metrics.components import make_judge
from metrics.figures import FIGURES

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--num_inference_steps", "2", "--num_images", "52")
COMPONENTS = [f"part{number}" for number in range(24)]


def characters(folder, count, first=0):
    """An imagefolder of made-up characters: each component is a stroke of its own."""
    folder.mkdir(parents=True)
    rows = []
    for number in range(first, first + count):
        parts = sorted(np.random.default_rng(number).permutation(len(COMPONENTS))[:6].tolist())
        image = Image.new("L", (32, 32), "white")
        for part in parts:
            row, column = divmod(part, 5)
            ImageDraw.Draw(image).line(
                (column * 6 + 2, row * 6 + 2, column * 6 + 7, row * 6 + 2 + part % 3 * 2), width=2
            )
        image.save(folder / f"{number:05}.png")
        row = {"file_name": f"{number:05}.png", "text": f"meaning {number}", "meanings": [f"meaning {number}"]}
        names = [COMPONENTS[part] for part in parts]
        rows.append(row | {"character": chr(0x4E00 + number), "components": names, "radical": names[0]})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with runs/quick, data/made with characters, held out and not, and a judge that hardly learned."""
    folder = tmp_path_factory.mktemp("made")
    save_tiny_run(folder / "runs" / "quick")
    characters(folder / "data" / "made" / "train", 400)
    characters(folder / "data" / "made" / "test", 30, first=400)
    make_judge(folder / "data" / "made", max_train_steps=40)
    (folder / "data" / "plain" / "train").mkdir(parents=True)
    for number in range(20):
        picture = Image.fromarray(np.random.default_rng(number).integers(0, 255, (24, 24, 3), dtype=np.uint8))
        picture.save(folder / "data" / "plain" / "train" / f"thing_{number}.png")
    make_judge(folder / "data" / "plain", max_train_steps=3)
    return folder


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    """A copy of that as the current folder, where weights are not asked for on the net."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    none = {"not_computed": "no weights: this test has none"}
    monkeypatch.setattr("metrics.evaluation.fid_kid", lambda *args: (none.copy(), none.copy()))
    monkeypatch.setattr("metrics.evaluation.clip_score", lambda *args: none.copy())
    return tmp_path


@pytest.fixture
def evaluated(monkeypatch, capsys):
    """Run the verb in this process: -> its report, and what it printed."""

    def call(*argv):
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *argv])
        evaluate.main()
        said = capsys.readouterr().out
        return json.loads(Path(re.search(r"\S+report\.json", said)[0]).read_text("utf-8")), said

    return call


def test_every_figure_is_a_number_or_a_reason(here, evaluated):
    report, said = evaluated("runs/quick", "--dataset", "data/made", *FAST)
    assert said.startswith("52 images drawn, 0 were there already")
    computed = {key for key in FIGURES if "value" in report[key]}
    assert computed == {*("fd_glyph", "mmd_glyph", "copies", "diversity", "strokes")} | {
        *("component_f1", "radical_hit", "meaning_match")
    }
    for key in FIGURES:
        assert {"value", "yardstick", "n"} <= report[key].keys() or report[key]["not_computed"], key
    assert (report["drawings"]["n"], report["drawings"]["words"]) == (52, 30)
    assert (report["dataset"]["train"], report["dataset"]["test"]) == (400, 30)
    assert "16 pixels" in report["notes"][0]  # which is why real ones were reduced


@pytest.mark.parametrize("count", ["52", "5"])  # of a few, the best are among the worst
def test_every_picture_of_the_report_is_there(here, evaluated, count):
    evaluated("runs/quick", "--dataset", "data/made", *FAST, "--num_images", count)
    folder = Path("outputs/quick/report")
    page = (folder / "report.html").read_text("utf-8")
    report = json.loads((folder / "report.json").read_text("utf-8"))
    cases = [case for key in FIGURES for cases in report[key].get("cases", {}).values() for case in cases]
    assert cases and "<img" in page
    for case in cases:
        assert (folder / case["image"]).is_file()
        assert case.get("beside") is None or (folder / case["beside"]).is_file()


def test_a_second_run_draws_and_measures_nothing(here, evaluated, monkeypatch):
    first, _ = evaluated("runs/quick", "--dataset", "data/made", *FAST)
    monkeypatch.setattr("metrics.evaluation.measure", None)  # would raise
    again, said = evaluated("runs/quick", "--dataset", "data/made", *FAST)
    assert said.startswith("0 images drawn, 52 were there already")
    assert again == first


@pytest.mark.parametrize("harm", ["seed", "judge", "torn", "data"])
def test_what_no_longer_holds_is_measured_anew(here, evaluated, monkeypatch, harm):
    argv = ["runs/quick", "--dataset", "data/made", *FAST]
    evaluated(*argv)
    kept = Path("outputs/quick/report/quick/figures.json")
    if harm == "seed":
        argv += ["--seed", "1"]
    elif harm == "judge":
        make_judge("data/made", max_train_steps=4)
    elif harm == "torn":
        kept.write_text(kept.read_text()[:1000])
    else:
        Path("data/made/build.json").write_text('{"fingerprint": "other"}')
        make_judge("data/made", max_train_steps=3)
    monkeypatch.setattr("metrics.evaluation.measure", None)
    with pytest.raises(TypeError):
        evaluated(*argv)


def test_weights_that_were_missing_are_asked_for_again(here, evaluated, monkeypatch):
    evaluated("runs/quick", "--dataset", "data/made", *FAST)
    found = {"value": 1.0, "yardstick": 1.0, "n": 50}
    monkeypatch.setattr("metrics.evaluation.fid_kid", lambda *args: (found.copy(), found.copy()))
    monkeypatch.setattr("metrics.evaluation.measure", None)  # the rest is kept
    report, _ = evaluated("runs/quick", "--dataset", "data/made", *FAST)
    assert report["fid"] == found and "no weights" in report["clip_score"]["not_computed"]


def test_words_of_a_file_have_no_true_character(here, evaluated):
    Path("words.txt").write_text("YouTube\nclimate change\n")
    report, _ = evaluated("runs/quick", "--dataset", "data/made", *FAST, "--prompts", "words.txt")
    assert report["drawings"]["words"] == 2
    assert "not drawn for held-out characters" in report["component_f1"]["not_computed"]
    assert "value" in report["fd_glyph"]


def test_images_that_are_there_are_measured_by_their_names(here, evaluated):
    report, said = evaluated("--images", "data/made/test", "--dataset", "data/made")
    assert "drawn" not in said and report["kind"] == "images"
    assert report["component_f1"]["value"] == report["component_f1"]["yardstick"]  # they are the held-out ones
    shutil.copytree("data/plain/train", "things")
    report, _ = evaluated("--images", "things", "--dataset", "data/made")
    assert report["drawings"]["words"] == 20 and "value" in report["copies"]


def test_copies_are_shown_beside_their_originals(here, evaluated):
    Path("copied").mkdir()
    for number in range(6):
        shutil.copy(f"data/made/train/{number:05}.png", f"copied/word_{number}.png")
    report, _ = evaluated("--images", "copied", "--dataset", "data/made")
    assert report["copies"]["value"] == 1
    for case in report["copies"]["cases"]["worst"]:
        folder = Path("outputs/copied/report")
        drawing, original = (np.asarray(Image.open(folder / case[key]).convert("L")) for key in ("image", "beside"))
        assert (drawing == original).all()


def test_an_ideal_model_reaches_the_yardstick_however_often_a_word_is_drawn(here, evaluated):
    Path("ideal").mkdir()
    rows = [json.loads(line) for line in Path("data/made/test/metadata.jsonl").read_text().splitlines()]
    drawn = []
    for row in rows:
        for number in range(4):
            with Image.open(f"data/made/test/{row['file_name']}") as image:
                image.rotate(number, fillcolor=255).save(f"ideal/{number}{row['file_name']}")
            drawn.append({"file_name": f"{number}{row['file_name']}", "text": row["text"]})
    Path("ideal/metadata.jsonl").write_text("\n".join(map(json.dumps, drawn)))
    report, _ = evaluated("--images", "ideal", "--dataset", "data/made")
    assert report["fd_glyph"]["n"] == 120
    assert report["fd_glyph"]["value"] < 1.3 * report["fd_glyph"]["yardstick"]
    assert report["diversity"]["value"] > report["diversity"]["yardstick"] - 0.15


def test_one_small_picture_does_not_blind_the_judge_to_the_others(here, evaluated):
    shutil.copytree("data/made/test", "mixed")
    Image.new("L", (1, 1)).save("mixed/00400.png")
    report, _ = evaluated("--images", "mixed", "--dataset", "data/made")
    assert report["drawings"]["resolution"] == 32
    assert "1 to 32 pixels" in report["notes"][0]


def test_data_that_are_no_characters_leave_out_by_name_what_needs_them(here, evaluated):
    report, _ = evaluated("--images", "data/plain/train", "--dataset", "data/plain")
    for key in ("legibility", "component_f1", "radical_hit", "meaning_match", "strokes"):
        assert report[key]["not_computed"] == "the data are not characters"
    assert report["judge"]["labels"] == "images" and report["copies"]["value"] == 1
    assert any("held-out" in note for note in report["notes"]) and any("no components" in n for n in report["notes"])


def test_several_models_stand_side_by_side(here, evaluated):
    shutil.copytree("runs/quick", "runs/other")
    reports, _ = evaluated("runs/quick", "runs/other", "--dataset", "data/made", *FAST)
    assert [report["model"] for report in reports["reports"]] == ["quick", "other"]
    assert Path("outputs/quick-other/report/report.html").is_file()


def test_checkpoints_become_curves(here, evaluated):
    unfinish(Path("runs/quick"), 5, 10)
    Path("runs/quick/checkpoint-15").mkdir()  # being written
    reports, _ = evaluated("runs/quick", "--checkpoints", "--dataset", "data/made", *FAST)
    assert [(report["model"], report["step"]) for report in reports["reports"]] == [("quick", 5), ("quick", 10)]
    assert "<svg" in Path("outputs/quick/report-checkpoints/curves.svg").read_text("utf-8")


def test_attention_alone_needs_no_data(here, monkeypatch, capsys):
    argv = [
        "evaluate.py",
        "runs/quick",
        "--attention",
        "forest fire",
        "--num_inference_steps",
        "2",
        "--layers",
        "conv_in",
    ]
    monkeypatch.setattr(sys, "argv", argv)
    evaluate.main()
    page = Path(capsys.readouterr().out.strip().splitlines()[-1])
    assert page == Path("outputs/quick/report/quick/attention.html") and "forest fire" in page.read_text("utf-8")
    assert not Path("outputs/quick/report/report.json").exists()


BAD = [
    ([], "name a MODEL, or --images"),
    (["runs/quick", "--images", "data/made/test", "--dataset", "data/made"], "not both"),
    (["runs/quick"], "--dataset data/kanji"),
    (["runs/none", "--dataset", "data/made"], "no model at runs/none"),
    (["runs/quick", "--dataset", "data/none"], "there is no data/none/train"),
    (["--images", "none", "--dataset", "data/made"], "there is no none"),
    (["runs/quick", "runs/quick", "--dataset", "data/made"], "two models are called quick"),
    (["runs/quick", "runs/quick", "--checkpoints", "--dataset", "data/made"], "--checkpoints takes one run"),
    (["runs/quick", "--checkpoints", "--dataset", "data/made"], "has no checkpoints"),
    (["--images", "data/made/test", "--attention", "fire"], "--attention needs a MODEL"),
    (["runs/quick", "--dataset", "data/made", "--num_images", "0"], "0 is not a whole number"),
    (["runs/quick", "--dataset", "data/made", "--prompts", "missing.txt"], "missing.txt"),
    (["runs/quick", "--datasets", "data/made"], "unrecognized arguments"),
    (["--images", "data/made/test", "--dataset", "data/made", "--output", "data/made/test/x"], "is inside --images"),
]


@pytest.mark.parametrize(("argv", "said"), BAD)
def test_bad_usage_is_one_clear_line(root, here, argv, said):
    done = subprocess.run([sys.executable, root / "evaluate.py", *argv], capture_output=True, text=True)
    usage, error = done.stderr.splitlines()
    assert (done.returncode, usage[:28]) == (2, "usage: python evaluate.py MO")
    assert said in error and not Path("outputs").exists()


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["runs/quick", "--attention", "fire", "--layers", "conv_im"], "conv_in"),
        (["--images", "empty", "--dataset", "data/made"], "empty has no pictures"),
        (["--images", "torn", "--dataset", "data/made"], "torn/word.png"),
        (["runs/quick", "--dataset", "few", *FAST], "few/train has 3 pictures"),
    ],
)
def test_what_shows_later_is_one_line_too(here, monkeypatch, argv, said):
    Path("empty").mkdir()
    Path("torn").mkdir()
    Path("torn/word.png").write_bytes(Path("data/made/test/00400.png").read_bytes()[:60])
    characters(Path("few/train"), 3)
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *argv])
    with pytest.raises(SystemExit) as stop:
        evaluate.main()
    assert said in str(stop.value.code) and "\n" not in str(stop.value.code)
    assert not list(Path("outputs").rglob("report.*"))


def test_help_loads_nothing_heavy(root):
    program = "import sys, evaluate; assert not {'torch', 'diffusers', 'transformers', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)
    done = subprocess.run([sys.executable, root / "evaluate.py", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and evaluate.__doc__.strip() in done.stdout
