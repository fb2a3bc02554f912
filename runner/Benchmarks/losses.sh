#!/usr/bin/env bash
# What one setting does to fine-tuning: the bundled model, and its variant with outliers, on the SQL data in FP8 halo-0, with and without it, three seeds each.
# Usage: runner/Benchmarks/losses.sh SETTING OUT [STEPS [OPTION...]]   (120 updates of 8 rows; some 20 minutes on two cores)
#   SETTING   saved-codes   what gradients read, as codes of 8 bits
#             moments       AdamW's moments in 8 bits
#             gradient-sums sums of eight micro-batches in bfloat16, over bf16 states; on a GPU
#   OPTION    of halo train, for every run, such as --device cuda --precision bf16
# MODELS, SEEDS and VALUES choose some of the runs; HALO names the executable. Runs that are there already are not done again.
# Prints a line of JSON a run, as in Fidelity/results/saved-codes.jsonl: loss on the validation rows before and after, and the updates' last ten on average.
set -euo pipefail
usage='usage: losses.sh saved-codes|moments|gradient-sums OUT [STEPS [OPTION...]]'
setting=${1:?$usage} out=${2:?$usage} steps=${3:-120}
more=(--micro-batch-size 8)
case $setting in # the first value is the default
    saved-codes) values='none all' ;;
    moments) values='states fp8' ;;
    gradient-sums) values='fp32 bf16' more=(--micro-batch-size 1 --device cuda --precision bf16 --states bf16) ;;
    *) echo "error: losses.sh: expected a setting of saved-codes, moments, gradient-sums, found '$setting'. $usage" >&2; exit 2 ;;
esac
more+=("${@:4}")
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
"$halo" bench fidelity -o "$out/study" --table --only tiny-outliers >&2 # writes the variant
for model in ${MODELS:-tiny tiny-outliers}; do
    weights=$root/models/llama-tiny/model.safetensors
    [ "$model" = tiny ] || weights=$out/study/$model.safetensors
    for seed in ${SEEDS:-0 1 2}; do
        for value in ${VALUES:-$values}; do
            run=$out/${model}_${value}_seed$seed
            options=("${more[@]}")
            [ "$value" = "${values% *}" ] || options+=("--$setting" "$value")
            [ -d "$run/model" ] || "$halo" train --model "$root/models/llama-tiny" --weights "$weights" --data "$sql/train.jsonl" --valid "$sql/valid.jsonl" -o "$run" \
                --scheme halo-0 --format fp8 --steps "$steps" --batch-size 8 --sequence-length 256 --seed "$seed" --learning-rate 1e-3 --schedule cosine \
                --warmup-steps 10 "${options[@]}" >&2
            losses() { sed -n "s/.*\"kind\":\"$1\".*\"loss\":\([0-9.]*\).*/\1/p" "$run/metrics.jsonl"; }
            printf '{"model":"%s","%s":"%s","seed":%d,"updates":%d,"before":%.4f,"after":%.4f,"last_ten":%.4f}\n' "$model" "${setting//-/_}" "$value" "$seed" "$steps" \
                "$(losses eval | head -1)" "$(losses eval | tail -1)" "$(losses train | tail -10 | awk '{ sum += $1 } END { print sum / NR }')"
        done
    done
done
