#!/usr/bin/env bash
# Validation losses of the bundled model after 4 epochs of the SQL data (180 updates of 32 rows), by states, format, level and seed, with the graph that a
# Hugging Face folder gives: all fused operators. A line of JSON a run.
#   runner/Benchmarks/states.sh STUDY_DIR [JOBS [SEEDS]]     STUDY_DIR: of halo bench fidelity, whose tiny-outliers.safetensors is the variant with outliers
# HALO names the executable (./halo), ONLY a part of the runs' names (tiny_fp32_fp8_halo-0_0). What is there is not done again.
set -euo pipefail
study=$(realpath "$1") jobs=${2:-4} seeds=${3:-3}
cd "$(dirname "$0")/../.."
halo=${HALO:-./halo}

one() { # NAME WEIGHTS STATES FORMAT SCHEME SEED
    local run="$study/states/$1" log="$study/states/$1.log"
    [ -f "$study/states/$1.json" ] && return
    rm -rf "$run"
    "$halo" train --model models/llama-tiny --weights "$2" --data runner/Data/sql/train.jsonl --valid runner/Data/sql/valid.jsonl -o "$run" --device cuda \
        --precision bf16 --states "$3" --format "$4" --scheme "$5" --seed "$6" --epochs 4 --batch-size 32 --micro-batch-size 32 --sequence-length 256 \
        --learning-rate 1e-3 --schedule linear --warmup-steps 20 --threads 1 >"$log" 2>&1 || { echo "$1 failed: $(tail -1 "$log")" >&2; return; }
    sed -n 's/.*"step":\([0-9]*\),"kind":"eval","loss":\([0-9.]*\).*/\1 \2/p' "$run/metrics.jsonl" \
        | awk -v name="$1" 'NR == 1 { before = $2 } { step = $1; after = $2 } END { printf "{\"run\":\"%s\",\"updates\":%d,\"before\":%s,\"after\":%s}\n", name, step, before, after }' \
            >"$study/states/$1.json"
    rm -rf "$run"
}

mkdir -p "$study/states"
for seed in $(seq 0 $((seeds - 1))); do
    for variant in tiny tiny-outliers; do
        weights=models/llama-tiny/model.safetensors
        [ "$variant" = tiny ] || weights="$study/tiny-outliers.safetensors"
        for states in fp32 bf16; do
            for setting in "none none" "fp8 halo-0" "fp8 halo-1" "fp8 halo-2" "int8 halo-2"; do
                name="${variant}_${states}_${setting// /_}_$seed"
                [[ "$name" == *"${ONLY:-}"* ]] || continue
                while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
                # shellcheck disable=SC2086 # words
                one "$name" "$weights" "$states" $setting "$seed" &
            done
        done
    done
done
wait
cat "$study"/states/*.json
