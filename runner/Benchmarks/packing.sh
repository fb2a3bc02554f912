#!/usr/bin/env bash
# What packing does to speed and loss: the bundled model on the SQL data, the same rows an update, unpacked and packed, three seeds each.
# Usage: runner/Benchmarks/packing.sh OUT [UPDATES [OPTION...]]   (90 updates of 16 rows; some 20 minutes on two cores; runs that are there already are not
# done again; options of halo train, such as --device cuda --precision bf16, for every run. KINDS: packing, rows and tokens of a micro-batch; SEEDS; MODEL in place
# of the bundled one; BATCH: rows an update; RATE)
# Prints a line of JSON a run, as in Fidelity/results/packing.jsonl: loss on the validation rows before and after, the median of tokens/s over all updates but the first
# five, tokens of rows without padding, and the median of milliseconds an update. Seeds are the outer loop, so that what slows the machine slows all kinds.
set -euo pipefail
out=${1:?usage: packing.sh OUT [UPDATES [OPTION...]]} updates=${2:-90}
more=("${@:3}")
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
median() { sort -n | awk '{ x[NR] = $1 } END { print (x[int((NR + 1) / 2)] + x[int((NR + 2) / 2)]) / 2 }'; }
for seed in ${SEEDS:-0 1 2}; do
    for kind in ${KINDS:-none,8,256 documents,2,256 documents,4,512 documents,2,1024}; do
        IFS=, read -r packing rows tokens <<<"$kind"
        run=$out/${packing}_${rows}x${tokens}_seed$seed
        [ -d "$run/model" ] || "$halo" train --model "${MODEL:-$root/models/llama-tiny}" --data "$sql/train.jsonl" --valid "$sql/valid.jsonl" -o "$run" --packing "$packing" \
            --steps "$updates" --batch-size "${BATCH:-16}" --micro-batch-size "$rows" --sequence-length "$tokens" --seed "$seed" --learning-rate "${RATE:-1e-3}" --schedule cosine \
            --warmup-steps 10 "${more[@]}" >&2
        losses() { sed -n "s/.*\"kind\":\"eval\".*\"loss\":\([0-9.]*\).*/\1/p" "$run/metrics.jsonl"; }
        updates_of() { grep '"kind":"train"' "$run/metrics.jsonl" | tail -n +6 | sed 's/.*"milliseconds":\([0-9.]*\),"tokens":\([0-9]*\).*/\1 \2/'; }
        printf '{"options":"%s","packing":"%s","rows":%d,"tokens":%d,"seed":%d,"updates":%d,"before":%.4f,"after":%.4f,"tokens_per_s":%.0f,"ms":%.1f}\n' "${more[*]}" "$packing" \
            "$rows" "$tokens" "$seed" "$updates" "$(losses | head -1)" "$(losses | tail -1)" "$(updates_of | awk '{ print $2 / $1 * 1000 }' | median)" \
            "$(updates_of | awk '{ print $1 }' | median)"
    done
done
