#!/usr/bin/env bash
# Two GPUs of one machine: updates that are recorded and updates that are not, where ranks wait, and what each GPU does alone. A line of JSON a row of steps,
# OUT/recorded.jsonl, by worth; then ranks_waits.py of each trace, OUT/waits-NAME.txt, and whether recorded updates have the bits of others.
#   runner/Benchmarks/Step/ranks_recorded.sh OUT [SHAPE [BATCH [SEQUENCE]]]     the 1B shape, 32 rows of 512 tokens a GPU, where nothing else is said
# HALO names the executable. LIMIT: seconds of a row (120); SECONDS_IN_ALL (900): rows that would begin later are left out. WORK: where models lie (OUT).
# LARGE: a shape for the end with its rows and tokens, such as 32,4096,14336,32,8,128256,0:32:512, layers computed again.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: ranks_recorded.sh OUT [SHAPE [BATCH [SEQUENCE]]]} shape=${2:-16,2048,8192,32,8,128256,1} batch=${3:-32} sequence=${4:-512}
work=${WORK:-$out}
mkdir -p "$out" "$work"
export NCCL_NVLS_ENABLE=0 LIMIT=${LIMIT:-120} REAL_HALO=${HALO:-$here/../../../halo} HALO=$here/ranks.sh STEPS=${STEPS:-14}
common=(--precision bf16 --states bf16 --scheme halo-0 --format fp8)
[ -z "${CPU:-}" ] || { common=(--threads 1); export DEVICE=cpu; }

folder() { [ -d "$work/$1" ] || { python3 "$here/step.py" folder "$work/$1.partial" "$2" && mv "$work/$1.partial" "$work/$1"; }; }

# row NAME RANKS MODEL BATCH SEQUENCE OPTION...
row() {
    if [ $((SECONDS + 30)) -gt "${SECONDS_IN_ALL:-900}" ]; then echo "{\"left_out\": \"$1\"}" | tee -a "$out/recorded.jsonl"; return; fi
    RANKS=$2 MICRO=$2 timeout -k 5 $((LIMIT + 30)) python3 "$here/step.py" halo "$1" "$work/$3" "$4" "$5" "${common[@]}" "${@:6}" | tee -a "$out/recorded.jsonl"
}

# pair NAME OPTION...: two ranks with a trace
pair() {
    rm -f "$out/trace-$1".*
    HALO_COLLECTIVE_TRACE=$out/trace-$1 row "$1" 2 model "$batch" "$sequence" "${@:2}"
    python3 "$here/ranks_waits.py" "$out/trace-$1" > "$out/waits-$1.txt" && head -3 "$out/waits-$1.txt"
}

folder model "$shape"
pair recorded --shard full --rank-carrier copies
HALO_RECORD_RANKS=0 pair launched --shard full --rank-carrier copies
CUDA_VISIBLE_DEVICES=0 row "GPU 0 alone" 1 model "$batch" "$sequence"
CUDA_VISIBLE_DEVICES=1 row "GPU 1 alone" 1 model "$batch" "$sequence"
pair recorded-again --shard full --rank-carrier copies
pair state --shard state --rank-carrier copies
pair nccl --shard full --rank-carrier nccl
row "int8 gradients" 2 model "$batch" "$sequence" --shard full --rank-carrier copies --shard-gradients int8
row "int8 gradients, feedback" 2 model "$batch" "$sequence" --shard full --rank-carrier copies --shard-gradients int8 --shard-gradients-feedback true
if [ -n "${LARGE:-}" ]; then
    IFS=: read -r large rows tokens <<< "$LARGE"
    folder large "$large"
    row "$LARGE" 2 large "$rows" "$tokens" --shard full --rank-carrier copies --recompute layer
fi
python3 - "$out/recorded.jsonl" <<'P' | tee -a "$out/recorded.jsonl"
import json, sys
rows = {row["name"]: row for row in map(json.loads, open(sys.argv[1])) if "ms" in row}
for name in ("launched", "recorded-again", "nccl"):
    if name in rows and "recorded" in rows:
        print(json.dumps({"figure": "same bits", "name": name, "equal": rows[name]["bits"] == rows["recorded"]["bits"]}))
P
