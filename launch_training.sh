#!/usr/bin/env bash
# Trains what a recipe says, draws with it, and sets up on the way what is missing: environment and data.
#
#     ./launch_training.sh [RECIPE] [--flag value ...] [--accelerate_config PATH] [--check]
#
#     RECIPE                     recipes/SCRIPT/NAME.yaml; without one the quickstart: minutes on two CPU cores
#     --flag value               goes to the recipe's script, instead of what the recipe says; the last one wins
#     --accelerate_config PATH   processes and precision; without it accelerate_config.yaml
#     --check                    everything but the training: what would be done, and what would go wrong
#
# The same command again goes on from the newest whole checkpoint. Paths in flags are seen from this file's folder.

set -euo pipefail
caller=$PWD
cd -- "$(dirname -- "${BASH_SOURCE[0]}")" >/dev/null

for word; do
    [[ $word != -h && $word != --help ]] || exec sed -n '2,/^$/s/^# \{0,1\}//p' launch_training.sh
done

# ---- environment --------------------------------------------------------------------------------------------------
# The active one where it has what requirements.txt asks for, else .venv.

python=$(launch/environment.sh requirements.txt)
# Nothing about a run leaves the machine unless its recipe says so: the libraries report use and count loads.
export HF_HUB_DISABLE_TELEMETRY=1 HF_UPDATE_DOWNLOAD_COUNTS=0

# ---- data ---------------------------------------------------------------------------------------------------------
# The recipe says which. It is checked before anything is built: -> recipe, script, flags, output_dir, build, base_model,
# check, accelerate_config. So is what it is to run on: -> accelerate, devices.

answers=$("$python" -m launch.flags "$caller" "$@")
eval "$answers"
answers=$("$python" -m launch.processes "$accelerate_config")
eval "$answers"

if [[ $build && ! $check ]]; then
    # What needs no data to be seen is seen now, for a build takes minutes.
    "$python" -m launch.preflight check "$accelerate_config" "$recipe" "$script" "${flags[@]}" >/dev/null
    echo "Building data/$build: python -m dataset_builder $build"
    "$python" -m dataset_builder "$build"
fi
if [[ $base_model && ! $check ]]; then
    echo "Making $base_model: python -m models.tiny_stable_diffusion $base_model"
    "$python" -m models.tiny_stable_diffusion "$base_model"
fi

# ---- check --------------------------------------------------------------------------------------------------------
# What runs/NAME holds already says what is left to do: -> state (new, resume or done), resume (a checkpoint). Then what
# would go wrong later is said now.

answers=$("$python" -m launch.record check "$recipe" "$script" "${flags[@]}")
eval "$answers"

train=("$python" -m accelerate.commands.launch "${accelerate[@]}" --quiet
    "$script" "${flags[@]}" ${resume:+"--resume_from_checkpoint=$resume"})

echo "Recipe    $recipe"
echo "Devices   $devices (OMP_NUM_THREADS=$OMP_NUM_THREADS)"
case $state in
    new) echo "Run       $output_dir" ;;
    resume) echo "Run       $output_dir, going on from ${resume:-where --resume_from_checkpoint says}" ;;
    done) echo "Run       $output_dir, which is done: nothing left to train" ;;
esac
if [[ $state != "done" ]]; then
    "$python" -m launch.preflight "${check:-launch}" "$accelerate_config" "$recipe" "$script" "${flags[@]}" \
        ${resume:+"--resume_from_checkpoint=$resume"}
fi
if [[ $check ]]; then
    [[ ! $build ]] || echo "Data      data/$build is not there yet: python -m dataset_builder $build comes first"
    printf 'Command  ' && printf ' %q' "${train[@]}" && printf '\n'
    echo "Nothing was trained (--check)."
    exit
fi

# ---- train --------------------------------------------------------------------------------------------------------

if [[ $state != "done" ]]; then
    mkdir -p -- "$output_dir"
    exec 9>>"$output_dir/.lock" # locked by record start until this launch ends: two must not train into one folder
    "$python" -m launch.record start "$recipe" "$script" "${train[@]}"
    status=0
    trap : INT # Ctrl-C reaches the training by itself; this script stays to say how to go on
    "${train[@]}" || status=$?
    trap - INT
    if ((status == 130)); then
        echo "Stopped. The same command goes on from the newest checkpoint in $output_dir, or from the start if" \
            "there is none." >&2
        exit $status
    elif ((status)); then
        echo "Training failed with exit status $status; $output_dir/run.json says what was run. If nothing above" \
            "says why, the system may have ended it for lack of memory." >&2
        exit $status
    fi
    "$python" -m launch.record finish "$output_dir"
    exec 9>&-
fi

# ---- draw ---------------------------------------------------------------------------------------------------------

"$python" generate.py "$output_dir" --prompts prompts/new_words.txt

drawn=outputs/$(basename -- "$output_dir")
[[ $caller == "$PWD" ]] || drawn=$PWD/$drawn
echo "Drawn     $drawn/sheet.png and $drawn/index.html"
next() { [[ $recipe == "$1" || ! -f $1 ]] || echo "Next      ./launch_training.sh $1   ($2)"; }
next recipes/train_text_to_glyph/kanji-cpu.yaml "the real data, 6,400 characters, without a GPU"
next recipes/train_text_to_glyph/kanji.yaml "the real data on one GPU"
next recipes/train_text_to_image/kanji-sd-v1-5.yaml "a real Stable Diffusion"
