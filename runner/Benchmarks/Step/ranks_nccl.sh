#!/usr/bin/env bash
# What NCCL and products leave each other on two GPUs: the 1B shape, 32 x 512 a GPU, --shard full in fp8, with HALO_NCCL_PROCESSORS of 0, 8, 4 and 16, with and
# without NCCL's clusters of blocks, and with fewer channels alone; beside one GPU. A line of JSON a row, as step.py has it.
#   runner/Benchmarks/Step/ranks_nccl.sh OUT       HALO names the executable; CPU=1 tries the script without a GPU; SECONDS_IN_ALL (125): later rows are left out
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?usage: ranks_nccl.sh OUT} most=${SECONDS_IN_ALL:-125}
mkdir -p "$out"
export NCCL_NVLS_ENABLE=0 TMPDIR=$out REAL_HALO=${HALO:-$here/../../../halo} STEPS=${STEPS:-12} DEVICE=cuda # multicast of NVLink stays off
export HALO=$here/ranks.sh
shape=16,2048,8192,32,8,128256,1 batch=32 sequence=512 device=(--precision bf16 --states bf16)
[ -z "${CPU:-}" ] || { shape=2,64,128,4,2,2048,1 batch=2 sequence=64 device=(--threads 1); export DEVICE=cpu; }
[ -d "$out/model" ] || python3 "$here/step.py" folder "$out/model" $shape

# row NAME RANKS VARIABLE=VALUE... -- OPTION...
row() {
    local name=$1 ranks=$2 variables=()
    shift 2
    while [ "$1" != -- ]; do variables+=("$1") && shift; done
    if [ $((SECONDS + 16)) -ge "$most" ]; then echo "{\"left_out\": \"$name\"}"; return; fi
    env "${variables[@]}" RANKS="$ranks" MICRO="$ranks" LIMIT=$((most - SECONDS < 40 ? most - SECONDS : 40)) timeout -k 5 60 \
        python3 "$here/step.py" halo "$name" "$out/model" $batch $sequence "${device[@]}" --scheme halo-0 --format fp8 "${@:2}"
}

{
    row "NCCL as it likes" 2 HALO_NCCL_PROCESSORS=0 -- --shard full
    row "8 multiprocessors for NCCL" 2 HALO_NCCL_PROCESSORS=8 -- --shard full
    row "4 multiprocessors for NCCL" 2 HALO_NCCL_PROCESSORS=4 -- --shard full
    row "one GPU" 1 HALO_NCCL_PROCESSORS=0 --
    row "16 multiprocessors for NCCL" 2 HALO_NCCL_PROCESSORS=16 -- --shard full
    row "8 multiprocessors for NCCL, no clusters" 2 HALO_NCCL_PROCESSORS=8 NCCL_CGA_CLUSTER_SIZE=0 -- --shard full
    row "NCCL of 4 channels, products as they like" 2 NCCL_MAX_CTAS=4 NCCL_MAX_P2P_NCHANNELS=4 -- --shard full
} | tee -a "$out/nccl.jsonl"
