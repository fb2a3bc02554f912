#!/usr/bin/env bash
# Measures how fast and in how much memory weights of a large LLaMA are held, turned, quantized and written; prints a table.
#   tests/Benchmarks/export-scale.sh [FOLDER [ROW...]]     checkpoint (16 GB) stays in FOLDER; without one it is deleted at the end
# A row is options of export in one word, as "int4 --rotate".
# Memory is that of the process's own: pages of the mapped checkpoint are the page cache's, and can be dropped.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
rows=("${@:2}")
[ ${#rows[@]} -gt 0 ] || rows=(fp16 int8 fp8 int4 "int4 --rotate")
mkdir -p "$folder"

dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
if [ ! -e "$folder/8b-032/tokenizer.json" ]; then
    rm -rf "$folder/8b-032"
    HALO_SCALE_FILLED_CHECKPOINTS="$folder" dotnet test tests/Halo.Tests.csproj --filter FullyQualifiedName~ScaledCheckpoints >&2
fi
halo=(dotnet runner/bin/Release/net10.0/halo.dll)

# peak PID TEXT: the largest RssAnon, in MB, of a process with TEXT in its command line, looked at every tenth of a second until PID ends.
peak() {
    local most=0 kilobytes files
    while kill -0 "$1" 2>/dev/null; do
        files=$(pgrep -f "$2" | sed 's|.*|/proc/&/status|')
        # shellcheck disable=SC2086 # a name each
        kilobytes=$(awk '/^RssAnon/ && $2 > most { most = $2 } END { print most + 0 }' $files /dev/null 2>/dev/null) || true
        [ "${kilobytes:-0}" -le "$most" ] || most=$kilobytes
        sleep 0.1
    done
    echo $((most / 1024))
}

# row WEIGHTS [--rotate]
row() {
    local out="$folder/export" megabytes seconds user system
    rm -rf "$out"
    /usr/bin/time -f '%e %U %S' -o "$folder/time.txt" "${halo[@]}" export "$folder/8b-032" -o "$out" --weights "$@" --prompts 0 \
        >/dev/null 2>"$folder/log.txt" &
    local timed=$!
    megabytes=$(peak "$timed" "export $folder/8b-032 ")
    wait "$timed" || { cat "$folder/log.txt" >&2; exit 1; }
    read -r seconds user system < "$folder/time.txt"
    awk -v how="$*" -v weights="$(stat -c %s "$folder"/8b-032/*.safetensors | awk '{ n += $1 } END { print n }')" \
        -v written="$(stat -c %s "$out/model.onnx.data")" -v s="$seconds" -v cpu="$user" -v more="$system" -v mb="$megabytes" \
        'BEGIN { printf "| %s | %.1f | %.1f | %.0f | %.0f | %.0f | %d |\n",
                 how, weights / 1e9, written / 1e9, s, cpu + more, weights / 1e6 / (cpu + more), mb }'
}

echo "| weights | GB read | GB written | seconds | of processor | MB read a second of processor | peak MB of its own |"
echo "|---|--:|--:|--:|--:|--:|--:|"
for row in "${rows[@]}"; do
    # shellcheck disable=SC2086 # a type and its options
    row $row
done
rm -rf "$folder/export"
