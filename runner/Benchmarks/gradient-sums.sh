#!/usr/bin/env bash
# What sums of gradients in bfloat16 do to fine-tuning over bf16 states on a GPU: the bundled model, and its variant with outliers, on the SQL data in FP8 halo-0,
# eight micro-batches an update, with float32 sums and with these, three seeds each.
# Usage: runner/Benchmarks/gradient-sums.sh OUT [STEPS [OPTION...]]   (120 updates of 8 rows; runs that are there already are not done again; MODELS, SEEDS
# and SUMS choose some of them; options of halo train for every run)
# Prints a line of JSON a run: loss on the validation rows before and after, and the updates' last ten on average.
set -euo pipefail
out=${1:?usage: gradient-sums.sh OUT [STEPS [OPTION...]]} steps=${2:-120}
more=("${@:3}")
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
"$halo" bench fidelity -o "$out/study" --table --only tiny-outliers >&2 # writes the variant
for model in ${MODELS:-tiny tiny-outliers}; do
    weights=$root/models/llama-tiny/model.safetensors
    [ "$model" = tiny ] || weights=$out/study/$model.safetensors
    for seed in ${SEEDS:-0 1 2}; do
        for sums in ${SUMS:-fp32 bf16}; do
            run=$out/${model}_${sums}_seed$seed
            options=(--gradient-sums "$sums" "${more[@]}")
            [ -d "$run/model" ] || "$halo" train --model "$root/models/llama-tiny" --weights "$weights" --data "$sql/train.jsonl" --valid "$sql/valid.jsonl" -o "$run" \
                --device cuda --precision bf16 --states bf16 --scheme halo-0 --format fp8 --steps "$steps" --batch-size 8 --micro-batch-size 1 --sequence-length 256 --seed "$seed" \
                --learning-rate 1e-3 --schedule cosine --warmup-steps 10 "${options[@]}" >&2
            losses() { sed -n "s/.*\"kind\":\"$1\".*\"loss\":\([0-9.]*\).*/\1/p" "$run/metrics.jsonl"; }
            printf '{"model":"%s","gradient_sums":"%s","seed":%d,"updates":%d,"before":%.4f,"after":%.4f,"last_ten":%.4f}\n' "$model" "$sums" "$seed" "$steps" \
                "$(losses eval | head -1)" "$(losses eval | tail -1)" "$(losses train | tail -10 | awk '{ sum += $1 } END { print sum / NR }')"
        done
    done
done
