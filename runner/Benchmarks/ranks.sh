#!/usr/bin/env bash
# What sharing a run does to fine-tuning in 8 bits: the bundled model on the SQL data by one process, and by two that split parameters, gradients and moments
# and gather codes (full), with gradients sent in 8 bits as well (int8, fp8); three settings, three seeds each. The processes meet by TCP: nothing is needed.
# Usage: runner/Benchmarks/ranks.sh OUT [WAY...]   (WAYs one, full, int8 and fp8; runs that are there already are not done again)
# ROWS, MICRO, TOKENS, STEPS: 32 rows an update in micro-batches of 16 x 256 tokens, 180 updates (the SQL table's), where nothing else is said; JOBS runs at a
# time; ONLY_LINES: none; MODEL, SETTINGS, SEEDS; MORE: options of every run, such as --device cuda --precision bf16 --rank-carrier host (ranks share the GPU).
# Prints a line of JSON a run, as in Fidelity/results/ranks.jsonl: loss on the validation rows before and after, and the updates' last ten on average.
set -euo pipefail
out=${1:?usage: ranks.sh OUT [WAY...]}
ways=("${@:2}")
[ "${#ways[@]}" -gt 0 ] || ways=(one full int8 fp8)
root=$(cd "$(dirname "$0")/../.." && pwd)
halo=${HALO:-$root/halo}
sql=$root/runner/Data/sql
rows=${ROWS:-32} micro=${MICRO:-16} tokens=${TOKENS:-256} steps=${STEPS:-180} jobs=${JOBS:-1} seeds=${SEEDS:-0 1 2}
settings=${SETTINGS:-halo-0:fp8 halo-1:fp8 halo-2:int8} model=${MODEL:-$root/models/llama-tiny}
port=${PORT:-23400}
mkdir -p "$out"

# A run by one process, or by two; its last lines go to OUT/NAME.log.
train() {
    local way=$1 run=$2 port=$3 rank options=() pids=()
    shift 3
    case $way in int8 | fp8) options=(--shard-gradients "$way") ;; esac
    # shellcheck disable=SC2206
    options+=(${MORE:-})
    rm -rf "$run"
    if [ "$way" = one ]; then
        "$halo" train "$@" -o "$run" "${options[@]}" > "$run.log" 2>&1 || tail -3 "$run.log" >&2
        return
    fi
    for rank in 0 1; do
        RANK=$rank WORLD_SIZE=2 LOCAL_RANK=$rank LOCAL_WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=$port \
            "$halo" train "$@" -o "$run" --recompute weights "${options[@]}" > "$run.log$rank" 2>&1 &
        pids+=($!)
    done
    for rank in 0 1; do wait "${pids[$rank]}" || tail -3 "$run.log$rank" >&2; done
    mv "$run.log0" "$run.log"
    rm -f "$run.log1"
}

each() { # calls $1 WAY SCHEME FORMAT SEED RUN for every run
    local way seed setting
    for seed in $seeds; do
        for way in "${ways[@]}"; do
            for setting in $settings; do
                "$1" "$way" "${setting%:*}" "${setting#*:}" "$seed" "$out/${way}_${setting%:*}_${setting#*:}_seed$seed"
            done
        done
    done
}

begin() {
    port=$((port + 4))
    [ ! -d "$5/model" ] || return 0
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n || true; done
    train "$1" "$5" "$port" --model "$model" --data "$sql/train.jsonl" --valid "$sql/valid.jsonl" --scheme "$2" --format "$3" \
        --steps "$steps" --batch-size "$rows" --micro-batch-size "$micro" --sequence-length "$tokens" --seed "$4" --learning-rate 1e-3 --schedule linear \
        --warmup-steps 20 --threads 1 --log-every 20 < /dev/null &
}

line() {
    [ -d "$5/model" ] || return 0
    losses() { sed -n "s/.*\"kind\":\"$1\".*\"loss\":\([0-9.]*\).*/\1/p" "$2/metrics.jsonl"; }
    printf '{"way":"%s","scheme":"%s","format":"%s","seed":%d,"updates":%d,"tokens":"%d x %d","before":%.4f,"after":%.4f,"last_ten":%.4f}\n' "$1" "$2" "$3" "$4" \
        "$steps" "$rows" "$tokens" "$(losses eval "$5" | head -1)" "$(losses eval "$5" | tail -1)" \
        "$(losses train "$5" | tail -10 | awk '{ sum += $1 } END { print sum / NR }')"
}

[ -n "${ONLY_LINES:-}" ] || each begin
wait
each line
