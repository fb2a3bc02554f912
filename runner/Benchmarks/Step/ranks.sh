#!/usr/bin/env bash
# Steps of several GPUs of one machine beside one GPU's and PyTorch's FSDP2, in one run. A line of JSON a figure, OUT/steps.jsonl, by worth; then which runs
# gave the same bits, and what is to be compared.
#   runner/Benchmarks/Step/ranks.sh OUT [GPUS [SHAPE [BATCH [SEQUENCE]]]]     2 GPUS, the 1B shape, 32 rows of 512 tokens a GPU, where nothing else is said
# HALO names the executable; CPU=1 tries the script without a GPU, in float32 and without PyTorch. LIMIT: seconds of a row (150); SECONDS_IN_ALL (3600): rows that
# would begin later are left out. SLOW_STEPS: updates over slow links (6). LARGE: a shape for the end, of one row a GPU.
# LARGE_BATCH: other rows for it, LARGE_LIMIT: other seconds. WORK: where models lie (OUT). NCCL has to be found by the loader, and torchrun be there.
# Called by step.py as the executable (RANKS is set) it starts so many processes of the real one, as torchrun does.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
halo=${REAL_HALO:-${HALO:-$here/../../../halo}}
export NCCL_NVLS_ENABLE=0 # multicast of NVLink stays off

if [ -n "${RANKS:-}" ]; then
    [ "$RANKS" -gt 1 ] || exec "$halo" "$@"
    port=$((20000 + RANDOM % 9000)) pids=()
    for ((rank = 0; rank < RANKS; rank++)); do
        RANK=$rank WORLD_SIZE=$RANKS LOCAL_RANK=$rank LOCAL_WORLD_SIZE=$RANKS MASTER_ADDR=127.0.0.1 MASTER_PORT=$port "$halo" "$@" &
        pids+=($!)
    done
    code=0
    for pid in "${pids[@]}"; do wait "$pid" || code=$?; done
    exit $code
fi

out=${1:?usage: ranks.sh OUT [GPUS [SHAPE [BATCH [SEQUENCE]]]]} gpus=${2:-2} shape=${3:-16,2048,8192,32,8,128256,1} batch=${4:-32} sequence=${5:-512}
work=${WORK:-$out}
mkdir -p "$out" "$work"
export LIMIT=${LIMIT:-150}
device=(--precision bf16 --states bf16) plain=(--scheme none --format none) codes=(--scheme halo-0 --format fp8)
[ -z "${CPU:-}" ] || device=(--threads 1)

left() { echo $((${SECONDS_IN_ALL:-3600} - SECONDS)); }

# folder NAME SHAPE: a model
folder() { [ -d "$work/$1" ] || { python3 "$here/step.py" folder "$work/$1.partial" "$2" && mv "$work/$1.partial" "$work/$1"; }; }

# steps NAME RANKS MODEL BATCH OPTION...: a line of figures
steps() {
    if [ "$(left)" -lt "${LEAST:-20}" ]; then echo "{\"left_out\": \"$1\"}" | tee -a "$out/steps.jsonl"; return; fi
    DEVICE=${CPU:+cpu} HALO=$here/ranks.sh REAL_HALO=$halo RANKS=$2 MICRO=$2 STEPS=${STEPS:-12} LIMIT=$(($(left) < LIMIT ? $(left) : LIMIT)) \
        timeout -k 5 $((LIMIT + 30)) python3 "$here/step.py" halo "$1" "$work/$3" "$4" "$sequence" "${device[@]}" "${@:5}" | tee -a "$out/steps.jsonl"
}

# fsdp GPUS KIND...
fsdp() {
    [ -z "${CPU:-}" ] || return 0
    if [ "$(left)" -lt "${LEAST:-20}" ]; then echo "{\"left_out\": \"FSDP2 $*\"}" | tee -a "$out/steps.jsonl"; return; fi
    timeout -k 5 "$LIMIT" torchrun --nproc-per-node "$1" --master-port $((29000 + RANDOM % 900)) "$here/fsdp.py" "$shape" "$batch" "$sequence" "${@:2}" 2> "$out/fsdp.err" |
        tee -a "$out/steps.jsonl"
    [ "${PIPESTATUS[0]}" -eq 0 ] || echo "{\"failed\": \"FSDP2 $*\", \"error\": $(tail -c 800 "$out/fsdp.err" | python3 -c 'import json, sys; print(json.dumps(sys.stdin.read()))')}" | tee -a "$out/steps.jsonl"
}

folder model "$shape" &
fsdp "$gpus" bf16
wait
steps "one GPU, fp8" 1 model "$batch" "${codes[@]}"
steps "$gpus GPUs, full, fp8" "$gpus" model "$batch" --shard full "${codes[@]}"
steps "$gpus GPUs, full, fp8, again" "$gpus" model "$batch" --shard full "${codes[@]}"
steps "$gpus GPUs, full, fp8, by copies" "$gpus" model "$batch" --shard full --rank-carrier copies "${codes[@]}"
steps "$gpus GPUs, full, fp8, gathered twice" "$gpus" model "$batch" --shard full --recompute weights "${codes[@]}"
steps "$gpus GPUs, full, bf16 gathered" "$gpus" model "$batch" --shard full "${plain[@]}"
steps "$gpus GPUs, full, fp8, gradients in int8" "$gpus" model "$batch" --shard full --shard-gradients int8 "${codes[@]}"
[ -z "${LARGE:-}" ] || folder large "$LARGE" &
fsdp 1 bf16
wait
# Links through the host's network, where bytes count.
export NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1
for way in "bf16 gathered" "fp8" "fp8, gradients in int8"; do
    case $way in bf16*) options=("${plain[@]}") ;; fp8) options=("${codes[@]}") ;; *) options=(--shard-gradients int8 "${codes[@]}") ;; esac
    STEPS=${SLOW_STEPS:-6} steps "$gpus GPUs, slow links, full, $way" "$gpus" model "$batch" --shard full "${options[@]}"
done
unset NCCL_P2P_DISABLE NCCL_SHM_DISABLE
[ -z "${LARGE:-}" ] || LIMIT=${LARGE_LIMIT:-$LIMIT} steps "$gpus GPUs, $LARGE, full, fp8" "$gpus" large "${LARGE_BATCH:-1}" --shard full --recompute weights "${codes[@]}"
for mode in state none; do steps "$gpus GPUs, $mode, fp8" "$gpus" model "$batch" --shard "$mode" "${codes[@]}"; done
fsdp "$gpus" master
python3 - "$out/steps.jsonl" <<'P' | tee -a "$out/steps.jsonl"
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
steps = {row["name"]: row for row in rows if row.get("figure") == "halo" and "ms" in row}
for name in [name for name in steps if name.endswith(", again")]:
    first = steps.get(name.removesuffix(", again"))
    print(json.dumps({"figure": "same bits", "name": name, "equal": first is not None and first["bits"] == steps[name]["bits"]}))
one = next((row for name, row in steps.items() if name.startswith("one GPU")), None)
many = [row for name, row in steps.items() if "GPUs, full, fp8" in name and "slow" not in name]
if one and many:
    best = max(many, key=lambda row: row["tokens_per_s"])
    peers = [row for row in rows if row.get("figure") == "fsdp2" and row["gpus"] > 1]
    print(json.dumps({"figure": "compared", "name": best["name"], "tokens_per_s": best["tokens_per_s"], "times_one": round(best["tokens_per_s"] / one["tokens_per_s"], 3),
                      "hidden": best.get("hidden"), "in_use_gib": best["in_use_gib"], "fsdp2": [(row["kind"], row["tokens_per_s"], round(row["peak_mib"] / 1024, 1)) for row in peers]}))
P
