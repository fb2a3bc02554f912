#!/usr/bin/env bash
# Measures how fast and in how much memory weights of a large LLaMA are held, turned, quantized and written; prints a table.
#   tests/Benchmarks/export-scale.sh [FOLDER]     checkpoint (16 GB) and outputs stay in FOLDER; without one they are deleted at the end
# Memory is that of the process's own: pages of the mapped checkpoint are the page cache's, and can be dropped.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
mkdir -p "$folder"

dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
if [ ! -e "$folder/8b-032/tokenizer.json" ]; then
    rm -rf "$folder/8b-032"
    HALO_SCALE_FILLED_CHECKPOINTS="$folder" dotnet test tests/Halo.Tests.csproj --filter FullyQualifiedName~ScaledCheckpoints >&2
fi
halo=(dotnet runner/bin/Release/net10.0/halo.dll)

# peak PID: the largest RssAnon of a process, in MB, looked at every tenth of a second until it ends.
peak() {
    local most=0 kilobytes
    while kilobytes=$(awk '/^RssAnon/ { print $2 }' "/proc/$1/status" 2>/dev/null) && [ -n "$kilobytes" ]; do
        [ "$kilobytes" -gt "$most" ] && most=$kilobytes
        sleep 0.1
    done
    echo $((most / 1024))
}

# row WEIGHTS [--rotate]
row() {
    local out="$folder/export" megabytes seconds user system
    rm -rf "$out"
    TIMEFORMAT='%R %U %S'
    { time "${halo[@]}" export "$folder/8b-032" -o "$out" --weights "$@" --prompts 0 >/dev/null 2>"$folder/log.txt" & } 2>"$folder/time.txt"
    while ! pid=$(pgrep -n -f "export $folder/8b-032"); do sleep 0.05; done
    megabytes=$(peak "$pid")
    wait $! || { cat "$folder/log.txt" >&2; exit 1; }
    read -r seconds user system < <(grep -E '^[0-9.]+ [0-9.]+ [0-9.]+$' "$folder/time.txt")
    awk -v how="$*" -v weights="$(stat -c %s "$folder"/8b-032/*.safetensors | awk '{ n += $1 } END { print n }')" \
        -v written="$(stat -c %s "$out/model.onnx.data")" -v s="$seconds" -v cpu="$user" -v more="$system" -v mb="$megabytes" \
        'BEGIN { printf "| %s | %.1f | %.1f | %.0f | %.0f | %.0f | %d |\n",
                 how, weights / 1e9, written / 1e9, s, cpu + more, weights / 1e6 / (cpu + more), mb }'
}

echo "| weights | GB read | GB written | seconds | of processor | MB read a second of processor | peak MB of its own |"
echo "|---|--:|--:|--:|--:|--:|--:|"
row fp16
row int8
row fp8
row int4
row int4 --rotate
rm -rf "$folder/export"
