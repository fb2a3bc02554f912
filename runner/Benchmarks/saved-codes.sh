#!/usr/bin/env bash
# What saved codes do to fine-tuning: the bundled model, and its variant with outliers, on the SQL data in FP8 halo-0, with and without, three seeds each.
# Usage: runner/Benchmarks/saved-codes.sh OUT [STEPS [OPTION...]]   (120 updates of 8 rows; some 20 minutes on two cores; runs that are there already are not
# done again; MODELS and SEEDS choose some of them; options of halo train, such as --device cuda --precision bf16, for every run)
# Prints a line of JSON a run, as in Fidelity/results/saved-codes.jsonl: loss on the validation rows before and after, and the updates' last ten on average.
set -euo pipefail
out=${1:?usage: saved-codes.sh OUT [STEPS [OPTION...]]} steps=${2:-120}
more=("${@:3}")
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
"$halo" bench fidelity -o "$out/study" --table --only tiny-outliers >&2 # writes the variant
for model in ${MODELS:-tiny tiny-outliers}; do
    weights=$root/models/llama-tiny/model.safetensors
    [ "$model" = tiny ] || weights=$out/study/$model.safetensors
    for seed in ${SEEDS:-0 1 2}; do
        for codes in none all; do
            run=$out/${model}_${codes}_seed$seed
            options=("${more[@]}")
            [ "$codes" = none ] || options+=(--saved-codes "$codes")
            [ -d "$run/model" ] || "$halo" train --model "$root/models/llama-tiny" --weights "$weights" --data "$sql/train.jsonl" --valid "$sql/valid.jsonl" -o "$run" \
                --scheme halo-0 --format fp8 --steps "$steps" --batch-size 8 --micro-batch-size 8 --sequence-length 256 --seed "$seed" --learning-rate 1e-3 \
                --schedule cosine --warmup-steps 10 "${options[@]}" >&2
            losses() { sed -n "s/.*\"kind\":\"$1\".*\"loss\":\([0-9.]*\).*/\1/p" "$run/metrics.jsonl"; }
            printf '{"model":"%s","saved_codes":"%s","seed":%d,"updates":%d,"before":%.4f,"after":%.4f,"last_ten":%.4f}\n' "$model" "$codes" "$seed" "$steps" \
                "$(losses eval | head -1)" "$(losses eval | tail -1)" "$(losses train | tail -10 | awk '{ sum += $1 } END { print sum / NR }')"
        done
    done
done
