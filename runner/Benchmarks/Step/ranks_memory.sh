#!/usr/bin/env bash
# Memory of a rank by 1, 2, 4 and 8 ranks that share the GPUs (their tensors go by the host): 0.3 B parameters in float32, one row of 64 tokens, so that
# parameters, gradients and moments are nearly all there is. A line of JSON a row: planned, and the most that the first rank's allocator gave out.
#   runner/Benchmarks/Step/ranks_memory.sh OUT       HALO names the executable; CPU=1 tries the script without a GPU; SECONDS_IN_ALL (120)
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: ranks_memory.sh OUT} most=${SECONDS_IN_ALL:-120}
mkdir -p "$out"
export TMPDIR=$out REAL_HALO=${HALO:-$here/../../../halo} ROWS=128 CHARACTERS=2000 STEPS=4 LIMIT=40 DEVICE=cuda
export HALO=$here/ranks.sh
shape=4,2048,8192,32,8,32000,1 counts=(1 2 4 8) options=(--rank-carrier host)
[ -z "${CPU:-}" ] || { shape=1,64,128,4,2,2048,1 counts=(1 2) options=(--threads 1); export DEVICE=cpu; }
[ -d "$out/model" ] || python3 "$here/step.py" folder "$out/model" $shape
for ranks in "${counts[@]}"; do
    for shard in full state; do
        [ "$ranks" -gt 1 ] || [ $shard = full ] || continue
        [ $((SECONDS + 25)) -lt "$most" ] || { echo "{\"left_out\": \"$ranks ranks, $shard\"}"; continue; }
        RANKS=$ranks MICRO=$ranks timeout -k 5 50 python3 "$here/step.py" halo "$ranks ranks, $shard" "$out/model" 1 64 --shard $shard "${options[@]}"
    done
done | tee -a "$out/memory.jsonl"
