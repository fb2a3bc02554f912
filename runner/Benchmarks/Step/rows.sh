#!/usr/bin/env bash
# The rows of the table of steps in one run: for each shape `halo train` and PyTorch on the same GPU, one after the other; shapes are shared out over the GPUs
# that GPUS names ("0"). A line of JSON a figure in OUT/rows.jsonl, with the commit and the GPU it ran on.
#   runner/Benchmarks/Step/rows.sh OUT [SHAPE..]     of: layers layers-4 1b 1b-8 1b-2048 qwen; all without
# HALO names the executable, WORK where models lie (OUT). SECONDS_IN_ALL (900): what would begin later is left out, which a line says. About 400 s on two H200.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: rows.sh OUT [SHAPE..]}
shift
read -r -a gpus <<< "${GPUS:-0}"
work=${WORK:-$out} commit=${COMMIT:-$(git -C "$here" rev-parse --short HEAD)}
mkdir -p "$out" "$work"
layers=3,4096,14336,32,8,2048,0 small=16,2048,8192,32,8,128256,1 qwen=28,1536,8960,12,2,151936,1
fp8=(--precision bf16 --format fp8 --scheme halo-0)

# said GPU COMMAND..: its lines with the GPU and the commit
said() {
    local gpu=$1
    shift
    if [ "$SECONDS" -gt "${SECONDS_IN_ALL:-900}" ]; then echo "{\"left_out\": \"$*\"}" >> "$out/rows.jsonl"; return; fi
    CUDA_VISIBLE_DEVICES=$gpu timeout -k 5 240 python3 "$here/step.py" "$@" 2>> "$out/errors.txt" |
        sed "s/^{/{\"commit\": \"$commit\", \"card\": $gpu, /" >> "$out/rows.jsonl"
}

# made SHAPE: the folder with a model of this shape
made() {
    [ -d "$work/$1" ] || { python3 "$here/step.py" folder "$work/$1.$$" "$1" > /dev/null && mv "$work/$1.$$" "$work/$1"; }
    echo "$work/$1"
}

# states GPU SHAPE BATCH SEQUENCE: float32 and bfloat16 states
states() {
    for kind in fp32 bf16; do said "$1" halo "$kind states" "$(made "$2")" "$3" "$4" "${fp8[@]}" --states $kind; done
}

# shape NAME GPU
shape() {
    local gpu=$2
    case $1 in
        layers)
            said "$gpu" pytorch $layers 32 512 bf16-compile float8-compile fp32master-compile fp32master-float8-compile
            states "$gpu" $layers 32 512
            said "$gpu" halo "halo-1" "$(made $layers)" 32 512 --precision bf16 --format fp8 --scheme halo-1 --states fp32
            said "$gpu" halo "int8 halo-2" "$(made $layers)" 32 512 --precision bf16 --format int8 --scheme halo-2 --states fp32
            ;;
        layers-4) states "$gpu" $layers 4 512; said "$gpu" pytorch $layers 4 512 bf16-compile float8-compile ;;
        1b) said "$gpu" pytorch $small 32 512 bf16-compile float8-compile; states "$gpu" $small 32 512 ;;
        1b-8) states "$gpu" $small 8 512; said "$gpu" pytorch $small 8 512 bf16-compile float8-compile ;;
        1b-2048) states "$gpu" $small 4 2048; said "$gpu" pytorch $small 4 2048 bf16-compile float8-compile ;;
        qwen) MICRO=16 STEPS=4 SKIP=1 said "$gpu" halo "bf16 states" "$(made $qwen)" 32 1024 "${fp8[@]}" --states bf16 ;;
    esac
}

shapes="layers 1b qwen 1b-2048 1b-8 layers-4"
[ $# -gt 0 ] || set -- $shapes
for name; do
    [[ " $shapes " == *" $name "* ]] || { echo "error: rows: expected some of $shapes, found '$name'." >&2; exit 2; }
done
for model in $layers $small $qwen; do made $model > /dev/null; done
# A GPU takes the next shape when it has done with one.
turn=$(mktemp -d)
trap 'rm -rf "$turn"' EXIT
for gpu in "${gpus[@]}"; do
    for name; do mkdir "$turn/$name" 2> /dev/null && shape "$name" "$gpu"; done &
done
wait
cat "$out/rows.jsonl"
