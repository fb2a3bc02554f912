#!/usr/bin/env bash
# Planned against measured memory on a GPU, for each lever; prints a table in Markdown.
#   tests/Benchmarks/memory-gpu.sh MODEL_DIR [ROWS TOKENS [STEPS [DATA]]]     a Hugging Face folder with weights and tokenizer; 8 x 256 and 3 updates without
# HALO names an executable where none is to be built; LEVERS (a line of options each) and FORMATS (a line of format and scheme each) replace the rows.
# LIMIT: seconds that a row may take (600). PLAN=log: planned as the log says it, to a tenth of a GiB, which saves a call of halo plan a row.
# planned: halo plan. in use: the allocator's most, metrics.jsonl. reserved: what the driver gave it. nvidia-smi: all of the process, where the tool is there.
set -euo pipefail
model=$(realpath "$1") rows=${2:-8} tokens=${3:-256} steps=${4:-3} data=${5:+$(realpath "$5")}
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if [ -n "${HALO:-}" ]; then
    halo=("$HALO")
else
    dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
    halo=(dotnet runner/bin/Release/net10.0/halo.dll)
fi
data=${data:-runner/Data/sql/train.jsonl}

gibibytes() { awk -v bytes="$1" 'BEGIN { printf "%.2f", bytes / 2^30 }'; }

# watch FILE: the most MiB that nvidia-smi sees of any process, until it is killed
watch() {
    local most=0 now
    while now=$(nvidia-smi --query-compute-apps=used_memory --format=csv,noheader,nounits 2>/dev/null | sort -n | tail -1); do
        if [ "${now:-0}" -gt "$most" ]; then most=$now && echo "$most" >"$1"; fi
        sleep 0.2
    done
}

# row FORMAT SCHEME OPTION...
row() {
    local name="$1 $2" levers="${*:3}"
    local options=(--model "$model" --device cuda --precision bf16 --format "$1" --scheme "$2" "${@:3}" --micro-batch-size "$rows" --sequence-length "$tokens")
    local planned="" peak reserved seen=0 log="$folder/log.txt" ratio speed
    [ "${PLAN:-}" = log ] || planned=$("${halo[@]}" plan "${options[@]}" --json | sed -n 's/^  "peak_bytes": \([0-9]*\),/\1/p')
    rm -rf "$folder/run" "$folder/seen"
    watch "$folder/seen" &
    local watcher=$!
    if ! timeout -k 5 "${LIMIT:-600}" "${halo[@]}" train "${options[@]}" --data "$data" --steps "$steps" -o "$folder/run" >"$log" 2>&1; then
        kill $watcher 2>/dev/null || true
        echo "| $name | $levers | $(gibibytes "${planned:-0}") | $(grep -E 'error|expected|needs' "$log" | tail -1 | cut -c1-300) | | | | |"
        return
    fi
    kill $watcher 2>/dev/null || true
    planned=${planned:-$(sed -n 's/.*memory: needs \([0-9.]*\) GiB.*/\1/p' "$log" | head -1 | awk '{ printf "%d", $1 * 2^30 }')}
    if [ -f "$folder/seen" ]; then seen=$(cat "$folder/seen"); fi
    peak=$(sed -n 's/.*"memory_peak":\([0-9]*\).*/\1/p' "$folder/run/metrics.jsonl" | sort -n | tail -1)
    reserved=$(sed -n 's/.*"memory_reserved":\([0-9]*\).*/\1/p' "$folder/run/metrics.jsonl" | sort -n | tail -1)
    ratio=$(awk -v a="$planned" -v b="$peak" 'BEGIN { printf "%.3f", a / b }')
    speed=$(sed -n 's/.*"kind":"train".*"milliseconds":\([0-9.]*\),"tokens":\([0-9]*\).*/\1 \2/p' "$folder/run/metrics.jsonl" | tail -1 | awk '{ printf "%.1f ms, %d tok/s", $1, 1000 * $2 / $1 }')
    echo "| $name | $levers | $(gibibytes "$planned") | $(gibibytes "$peak") | $ratio | $(gibibytes "$reserved") | $(awk -v m="$seen" 'BEGIN { printf "%.2f", m / 1024 }') | $speed |"
}

echo "| format, scheme | levers | planned GiB | in use | planned / in use | reserved | nvidia-smi | last update |"
echo "|---|---|--:|--:|--:|--:|--:|--:|"
levers=${LEVERS:-"--recompute none
--recompute weights
--recompute elementwise
--recompute feed_forward
--recompute layer
--saved-codes all
--optimizer-in-backward true
--optimizer-in-backward true --logits-memory 256MiB
--optimizer-in-backward true --saved-codes all --recompute weights --logits-memory 256MiB
--offload moments"}
while read -r format; do
    while read -r options; do
        # shellcheck disable=SC2086 # words
        row $format $options </dev/null
    done <<<"$levers"
done <<<"${FORMATS:-"fp8 halo-0
none none"}"
