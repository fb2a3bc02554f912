#!/usr/bin/env bash
# What exports of a fine-tuned model keep: trains the bundled model on the SQL data (180 updates of 32 rows, as the study of formats does), exports it with
# every type of weights, and prints loss and exact match over the validation file, for the model before and after as well.
# Usage: runner/Benchmarks/export.sh OUT   (about ten minutes on two cores; a run that is there already is used)
set -euo pipefail
out=${1:?usage: export.sh OUT}
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
mkdir -p "$out"
[ -d "$out/run" ] || "$halo" train --model "$root/models/llama-tiny" --data "$sql/train.jsonl" -o "$out/run" --scheme halo-0 --format fp8 \
  --epochs 4 --batch-size 32 --learning-rate 1e-3 --warmup-steps 20 --schedule linear
row() { printf '| %s | %s | %s |\n' "$1" "$("$halo" eval --model "$2" --data "$sql/valid.jsonl" --exact-match 2>/dev/null | tr '\n' ' ')" "$3"; }
agreement() { sed -n '/"validation"/,/}/p' "$1/parity.json" | grep -E 'top1|"kl"' | tr -d ' \n"'; }
row untrained "$root/models/llama-tiny" ""
row trained "$out/run" ""
for weights in fp32 fp16 int8 "int8 --activations int8" fp8 "fp8 --calibrate" int4 "int4 --rotate" "int4 --calibrate" "int4 --rotate --calibrate"; do
  folder="$out/${weights// /}"
  # shellcheck disable=SC2086 # an option of its own
  "$halo" export "$out/run" -o "$folder" --weights $weights --data "$sql/valid.jsonl" > /dev/null 2> "$folder.log" || { printf '| %s | %s | |\n' "$weights" "$(tail -1 "$folder.log")"; continue; }
  row "$weights" "$folder" "$(agreement "$folder"), $(du -sk "$folder" | cut -f1) KiB"
done
