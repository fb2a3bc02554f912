#!/usr/bin/env bash
# Memory planned, in use at the most, reserved and by nvidia-smi, and the time of an update: rows of Step/step.py for large models and long sequences made to fit 80 GB,
# for the speed table and for each lever. A line of JSON a row into OUT.jsonl, and a table in Markdown.
#   tests/Benchmarks/memory-gpu.sh OUT [big|small]     both lists one after the other, or one of them, so that two GPUs (CUDA_VISIBLE_DEVICES) can share them
# HALO names the executable (./halo); TMPDIR has 35 GB for folders of weights (48 where both lists run side by side), the host ~60 GiB for what is page-locked.
# DEADLINE: seconds behind which no row begins (3600). TRY=1: tiny sizes, for a machine without such a GPU (DEVICE as in step.py).
set -euo pipefail
out=$(realpath -m "${1:?usage: memory-gpu.sh OUT [big|small]}") lists=${2:-both}
cd "$(dirname "$0")/../.."
HALO=$(realpath "${HALO:-halo}")
export HALO
step=$PWD/runner/Benchmarks/Step/step.py begin=$SECONDS deadline=${DEADLINE:-3600}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jsonl=$out.jsonl table=$work/left-out
: >"$jsonl"; : >"$table"
declare -A shapes=([3l]=3,4096,14336,32,8,2048,0 [1b]=16,2048,8192,32,8,128256,1 [qwen]=28,1536,8960,12,2,151936,1 [7b]=28,3584,18944,28,4,152064,0 [8b]=32,4096,14336,32,8,128256,0 [8b8]=8,4096,14336,32,8,128256,0)
if [ -n "${TRY:-}" ]; then
    shapes=([3l]=3,64,192,4,2,2048,0 [1b]=2,64,192,4,2,2048,1 [qwen]=2,64,192,4,2,2048,1 [7b]=2,64,192,4,2,2048,0 [8b]=3,64,192,4,2,2048,0 [8b8]=2,64,192,4,2,2048,0)
fi

# make NAME ROWS CHARACTERS
make() {
    [ -e "$work/$1/rows.jsonl" ] || ROWS=$2 CHARACTERS=$3 timeout 120 python3 "$step" folder "$work/$1" "${shapes[$1]}" >>"$work/log" 2>&1
}

# lengthen NAME: fewer and longer rows, for sequences to 32768
lengthen() {
    [ -e "$work/$1/rows.jsonl" ] || return 0
    python3 - "$work/$1/rows.jsonl" <<'P'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
for row in rows: row["messages"][1]["content"] = (row["messages"][1]["content"] * 60)[:240000]
open(sys.argv[1], "w").writelines(json.dumps(row) + "\n" for row in rows[:24])
P
}

# row SECONDS FOLDER ROWS CHARACTERS NAME BATCH SEQUENCE OPTION...    variables STEPS, SKIP, MICRO before it
row() {
    local limit=$1 folder=$2 rows=$3 characters=$4 name=$5 batch=$6 sequence=$7 line; shift 7
    if [ $((SECONDS - begin)) -gt "$deadline" ]; then echo "left out, $((SECONDS - begin)) s are over: $name $*" >>"$table"; return; fi
    if [ -n "${TRY:-}" ]; then batch=2 sequence=32; fi
    make "$folder" "$rows" "$characters"
    line=$(LIMIT=$limit timeout -k 5 $((limit + 40)) python3 "$step" halo "$name" "$work/$folder" "$batch" "$sequence" --precision bf16 "$@" 2>&1 | tail -1) || true
    echo "$((SECONDS - begin)) s: ${line:-nothing came: $name $*}"
    echo "$line" >>"$jsonl"
}

big() { # folders of 15 GB: one at a time
    local f80="--memory 80GB --fit auto --states bf16 --scheme halo-0 --format fp8"
    # an update of 512 rows is timed with 64 of them where nothing else is said, the first not counted
    STEPS=3 SKIP=1 MICRO=4 row 100 7b 520 6000 "7b 16x1024 moments offloaded" 16 1024 $f80 --offload moments
    # whole updates: as the first, with half of what sums of gradients take, and with half of what crosses the bus
    STEPS=2 SKIP=1 MICRO=32 row 160 7b 520 6000 "7b 16x1024, 32 micro-batches, moments offloaded" 16 1024 $f80 --offload moments
    STEPS=2 SKIP=1 MICRO=32 row 160 7b 520 6000 "7b 16x1024, 32 micro-batches, moments offloaded, bf16 sums" 16 1024 $f80 --offload moments --gradient-sums bf16
    STEPS=2 SKIP=1 MICRO=32 row 160 7b 520 6000 "7b 16x1024, 32 micro-batches, fp8 moments offloaded, bf16 sums" 16 1024 $f80 --moments fp8 --offload moments --gradient-sums bf16
    STEPS=3 SKIP=1 MICRO=8 row 90 7b 520 6000 "7b 8x1024 moments offloaded" 8 1024 $f80 --offload moments
    STEPS=3 SKIP=1 MICRO=16 row 90 7b 520 6000 "7b 4x1024 moments offloaded" 4 1024 $f80 --offload moments
    rm -rf "$work/7b"
    STEPS=5 SKIP=2 row 60 8b 160 6000 "8b 16x1024 optimizer in backward" 16 1024 $f80 --optimizer-in-backward true --clip-by previous_step
    lengthen 8b
    STEPS=4 SKIP=2 row 60 8b 160 6000 "8b 1x8192" 1 8192 $f80 --optimizer-in-backward true --clip-by previous_step
    STEPS=4 SKIP=2 row 60 8b 160 6000 "8b 1x32768" 1 32768 $f80 --optimizer-in-backward true --clip-by previous_step
    STEPS=3 SKIP=1 MICRO=2 row 80 8b 160 6000 "8b 4x4096 moments offloaded" 4 4096 $f80 --offload moments
    rm -rf "$work/8b"
}

small() {
    local fp8="--scheme halo-0 --format fp8" b16="--states bf16 --scheme halo-0 --format fp8" sizes="40 3l 512 6000" lever
    export STEPS=6 SKIP=3
    row $sizes "3l 32x512 fp8, bf16 states" 32 512 $b16
    row $sizes "3l 32x512 fp8 weights, bf16 states" 32 512 $b16 --recompute weights
    row $sizes "3l 32x512 bf16, bf16 states" 32 512 --states bf16
    row $sizes "3l 32x512 fp8 saved codes, bf16 states" 32 512 $b16 --saved-codes all
    row $sizes "3l 32x512 fp8, float32 states" 32 512 $fp8
    row $sizes "3l 32x512 fp8 saved codes and weights, float32 states" 32 512 $fp8 --saved-codes all --recompute weights
    row 60 1b 512 10000 "1b 32x512 fp8, bf16 states" 32 512 $b16
    row 60 1b 512 10000 "1b 32x512 fp8 weights, logits 512 MiB, bf16 states" 32 512 $b16 --recompute weights --logits-memory 512MiB
    row 60 1b 512 10000 "1b 32x512 fp8 saved codes, bf16 states" 32 512 $b16 --saved-codes all
    row 60 1b 512 10000 "1b 32x512 bf16, bf16 states" 32 512 --states bf16
    for lever in "--recompute elementwise" "--recompute feed_forward" "--recompute layer" "--moments fp8" "--optimizer-in-backward true --clip-by previous_step" \
        "--offload moments" "--offload states" "--offload-residuals true" "--recompute layer --offload-residuals true"; do
        row $sizes "3l 32x512 fp8, bf16 states: lever" 32 512 $b16 $lever
    done
    row 60 1b 512 10000 "1b 8x512 fp8, bf16 states" 8 512 $b16
    row 60 1b 512 10000 "1b 4x2048 fp8, bf16 states" 4 2048 $b16
    lengthen 1b
    row 60 1b 512 10000 "1b 1x8192" 1 8192 $b16 --memory 80GB --fit auto
    row 60 1b 512 10000 "1b 1x32768" 1 32768 $b16 --memory 80GB --fit auto
    row 60 1b 512 10000 "1b 1x32768 bf16" 1 32768 --states bf16
    row 60 1b 512 10000 "1b 1x32768 fp8 saved codes" 1 32768 $b16 --saved-codes all
    rm -rf "$work/1b"
    row $sizes "3l 32x512 bf16, float32 states" 32 512
    row $sizes "3l 32x512 fp8 saved codes, float32 states" 32 512 $fp8 --saved-codes all
    row $sizes "3l 4x512 fp8, bf16 states" 4 512 $b16
    row $sizes "3l 4x512 fp8 weights, bf16 states" 4 512 $b16 --recompute weights
    row $sizes "3l 32x512 int8 halo-2, float32 states" 32 512 --scheme halo-2 --format int8
    STEPS=4 SKIP=2 MICRO=4 row $sizes "3l 8x512, 4 micro-batches, bf16 states" 8 512 $b16
    STEPS=4 SKIP=2 MICRO=4 row $sizes "3l 8x512, 4 micro-batches, bf16 states, bf16 sums" 8 512 $b16 --gradient-sums bf16
    STEPS=3 SKIP=2 MICRO=2 row 60 qwen 512 6000 "qwen 32x1024, 2 micro-batches, bf16 states" 32 1024 $b16
    rm -rf "$work/3l" "$work/qwen"
    make 8b8 160 6000
    lengthen 8b8
    for lever in "" "--recompute layer" "--recompute layer --offload-residuals true"; do
        STEPS=4 SKIP=2 row 60 8b8 160 6000 "8 layers of 8b 1x32768" 1 32768 $b16 --optimizer-in-backward true --clip-by previous_step $lever
    done
}

if [ "$lists" != small ]; then big; fi
if [ "$lists" != big ]; then small; fi
cat "$table"
python3 - "$jsonl" <<'P'
import json, sys
print("| row | options | planned | in use GiB | reserved | nvidia-smi | ms | tokens/s | chosen |\n|---|---|--:|--:|--:|--:|--:|--:|---|")
for line in open(sys.argv[1]):
    try: r = json.loads(line)
    except ValueError: print("not JSON:", line.strip()[:300]); continue
    if "error" in r: print(f"| {r['name']} | {r['error'].strip()[-300:]} |"); continue
    print(f"| {r['name']} | {r['options']} | {r['planned']} | {r['in_use_gib']} | {r['reserved_gib']} | {r['peak_mib'] / 1024:.2f} | {r['ms']} | {r['tokens_per_s']} | {r.get('chosen', '')} |")
P
