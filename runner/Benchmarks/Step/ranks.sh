#!/usr/bin/env bash
# Steps of several GPUs of one machine beside one GPU's and PyTorch's FSDP, in one run. A line of JSON a figure; then which runs gave the same bits.
#   runner/Benchmarks/Step/ranks.sh OUT [GPUS [SHAPE [BATCH [SEQUENCE]]]]     2 GPUS, the 1B shape, 32 rows of 512 tokens a GPU, where nothing else is said
# HALO names the executable; CPU=1 tries the script without a GPU: in float32, without PyTorch. NCCL and torchrun have to be there.
# Called by step.py as the executable (RANKS is set) it starts so many processes of the real one, as torchrun does.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
halo=${REAL_HALO:-${HALO:-$here/../../../halo}}
export NCCL_NVLS_ENABLE=0 # multicast of NVLink stays off

if [ -n "${RANKS:-}" ]; then
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
mkdir -p "$out"
model=$out/model
[ -d "$model" ] || python3 "$here/step.py" folder "$model" "$shape"
device=(--precision bf16 --states bf16)
[ -z "${CPU:-}" ] || device=(--threads 1)
codes=(--scheme halo-0 --format fp8 --recompute weights)

# steps NAME RANKS OPTION...: a line of figures
steps() {
    DEVICE=${CPU:+cpu} HALO=$here/ranks.sh REAL_HALO=$halo RANKS=$2 MICRO=$2 STEPS=${STEPS:-12} python3 "$here/step.py" halo "$1" "$model" "$batch" "$sequence" "${device[@]}" "${@:3}" |
        tee -a "$out/steps.jsonl"
}

steps "one GPU, halo-0 fp8" 1 "${codes[@]}"
for mode in full state none; do steps "$gpus GPUs, $mode, halo-0 fp8" "$gpus" --shard "$mode" "${codes[@]}"; done
steps "$gpus GPUs, full, halo-0 fp8, again" "$gpus" --shard full "${codes[@]}"
steps "$gpus GPUs, full, bf16 gathered" "$gpus" --shard full --scheme none --format none --recompute weights
for format in int8 fp8; do steps "$gpus GPUs, full, halo-0 fp8, gradients in $format" "$gpus" --shard full --shard-gradients $format "${codes[@]}"; done
# Links through the host's network, where bytes count.
export NCCL_P2P_DISABLE=1 NCCL_SHM_DISABLE=1
steps "$gpus GPUs, slow links, bf16 gathered" "$gpus" --shard full --scheme none --format none --recompute weights
steps "$gpus GPUs, slow links, halo-0 fp8" "$gpus" --shard full "${codes[@]}"
steps "$gpus GPUs, slow links, halo-0 fp8, gradients in int8" "$gpus" --shard full --shard-gradients int8 "${codes[@]}"
unset NCCL_P2P_DISABLE NCCL_SHM_DISABLE
if [ -z "${CPU:-}" ]; then
    for processes in 1 "$gpus"; do
        torchrun --nproc-per-node "$processes" "$here/fsdp.py" "$shape" "$batch" "$sequence" bf16 master | tee -a "$out/steps.jsonl"
    done
fi
python3 - "$out/steps.jsonl" <<'P'
import json, sys
rows = [json.loads(line) for line in open(sys.argv[1])]
steps = {row["name"]: row for row in rows if row.get("figure") == "halo" and "ms" in row}
again = [name for name in steps if name.endswith(", again")]
for name in again:
    first = steps.get(name.removesuffix(", again"))
    print(json.dumps({"figure": "same bits", "name": name, "equal": first is not None and first["losses"] == steps[name]["losses"]}))
P
