#!/usr/bin/env bash
# Two GPUs of one machine: rows that tokens look up sent in place of the embedding's table, and the table, beside each GPU alone. A line of JSON a row of steps,
# OUT/lookups.jsonl, by worth; ranks_waits.py of each trace, OUT/waits-NAME.txt; at the end how many times one GPU's each row is, and whether rows have the same bits twice.
#   runner/Benchmarks/Step/ranks_lookups.sh OUT [SHAPE [BATCH [SEQUENCE]]]     the 1B shape, 32 rows of 512 tokens a GPU, where nothing else is said
# HALO names the executable. LIMIT: seconds of a row (60); SECONDS_IN_ALL (200): rows that would begin later are left out. WORK: where the model lies (OUT).
# CPU=1 tries the script without a GPU.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: ranks_lookups.sh OUT [SHAPE [BATCH [SEQUENCE]]]} shape=${2:-16,2048,8192,32,8,128256,1} batch=${3:-32} sequence=${4:-512}
work=${WORK:-$out}
mkdir -p "$out" "$work"
export NCCL_NVLS_ENABLE=0 LIMIT=${LIMIT:-60} REAL_HALO=${HALO:-$here/../../../halo} HALO=$here/ranks.sh STEPS=${STEPS:-14} # multicast of NVLink stays off
options=(--precision bf16 --states bf16 --scheme halo-0 --format fp8) carrier=(--rank-carrier copies)
[ -z "${CPU:-}" ] || { options=(--threads 1) carrier=(); export DEVICE=cpu; }

# row NAME RANKS OPTION...
row() {
    if [ $((SECONDS + 25)) -gt "${SECONDS_IN_ALL:-200}" ]; then echo "{\"left_out\": \"$1\"}" | tee -a "$out/lookups.jsonl"; return; fi
    RANKS=$2 MICRO=$2 timeout -k 5 $((LIMIT + 10)) python3 "$here/step.py" halo "$1" "$work/model" "$batch" "$sequence" "${options[@]}" "${@:3}" | tee -a "$out/lookups.jsonl"
}

# pair NAME WAY: two ranks with a trace
pair() {
    rm -f "$out/trace-$1".*
    HALO_COLLECTIVE_TRACE=$out/trace-$1 row "$1" 2 --shard full "${carrier[@]}" --shard-lookups "$2"
    [ -n "${CPU:-}" ] || { python3 "$here/ranks_waits.py" "$out/trace-$1" > "$out/waits-$1.txt" && head -18 "$out/waits-$1.txt"; }
}

[ -d "$work/model" ] || { python3 "$here/step.py" folder "$work/model.partial" "$shape" && mv "$work/model.partial" "$work/model"; }
pair rows rows
CUDA_VISIBLE_DEVICES=0 row "GPU 0 alone" 1
pair table table
CUDA_VISIBLE_DEVICES=1 row "GPU 1 alone" 1
pair rows-again rows
python3 - "$out/lookups.jsonl" <<'P' | tee -a "$out/lookups.jsonl"
import json, sys
rows = {row["name"]: row for row in map(json.loads, open(sys.argv[1])) if "ms" in row}
alone = [row["ms"] for name, row in rows.items() if name.endswith("alone")]
for name in ("rows", "rows-again", "table"):
    if name in rows and alone:
        print(json.dumps({"figure": "times one GPU", "name": name, "ms": rows[name]["ms"], "hidden": rows[name].get("hidden"), "of_the_slower": round(2 * max(alone) / rows[name]["ms"], 3)}))
if "rows" in rows and "rows-again" in rows:
    print(json.dumps({"figure": "same bits", "name": "rows-again", "equal": rows["rows"]["bits"] == rows["rows-again"]["bits"]}))
P
