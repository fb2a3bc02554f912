#!/usr/bin/env bash
# Adapters of the bundled model on its SQL data, over a base in float32 or 8 bits, and merged into exports. Usage: runner/Benchmarks/adapters.sh FOLDER [SEED ...]
# Rank 16, alpha 32, all linear layers, four epochs of 45 updates of 32 rows, lr 5e-3. Prints a line a run, then the lines of the merges of the first float32 one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:?name a folder for the runs}
seeds=("${@:2}")
[ "${#seeds[@]}" -gt 0 ] || seeds=(0 1 2)
data=runner/Data/sql
for setting in "none none" "halo-1 fp8" "halo-2 int8" "halo-0 int8"; do
  read -r scheme format <<< "$setting"
  for seed in "${seeds[@]}"; do
    echo "$scheme $format seed $seed: $(./halo train --model models/llama-tiny --data $data/train.jsonl --valid $data/valid.jsonl --adapter-kind lora \
      --adapter-rank 16 --adapter-alpha 32 --scheme "$scheme" --format "$format" --seed "$seed" --epochs 4 --batch-size 32 --micro-batch-size 32 \
      --sequence-length 256 --learning-rate 5e-3 --warmup-steps 20 -o "$folder/$scheme-$format-$seed" 2> "$folder-$scheme-$format-$seed.log")"
  done
done
for weights in "fp32" "fp8" "int8" "int4" "int4 --rotate --calibrate --calibration-data $data/train.jsonl"; do
  # shellcheck disable=SC2086
  ./halo export models/llama-tiny -o "$folder/merged" --adapter "$folder/none-none-${seeds[0]}/adapter" --merge --weights $weights --data $data/valid.jsonl \
    --min-agreement 0 --max-kl 100 --min-effect 0 2>&1 | grep merged.*layers | sed "s/^/$weights: /"
done
