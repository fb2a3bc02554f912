#!/usr/bin/env bash
# Measures how fast and in how much memory weights of a large LLaMA are held, turned, quantized and written; prints a table.
#   tests/Benchmarks/export-scale.sh [FOLDER]     checkpoints and outputs stay in FOLDER; without one they are deleted at the end
# Weights are zeros, which the file system holds as holes; what is done to a value does not depend on it.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
mkdir -p "$folder"

dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
if [ ! -e "$folder/8b-032/tokenizer.json" ]; then
    HALO_SCALE_CHECKPOINTS="$folder" dotnet test tests/Halo.Tests.csproj --filter FullyQualifiedName~ScaledCheckpoints >&2
fi
halo=(dotnet runner/bin/Release/net10.0/halo.dll)

# row MODEL WEIGHTS [--rotate]
row() {
    local out="$folder/export" seconds user system kilobytes
    rm -rf "$out"
    /usr/bin/time -f '%e %U %S %M' -o "$folder/time.txt" "${halo[@]}" export "$folder/$1" -o "$out" --weights "${@:2}" --prompts 0 \
        >/dev/null 2>"$folder/log.txt" || { cat "$folder/log.txt" >&2; exit 1; }
    read -r seconds user system kilobytes < "$folder/time.txt"
    awk -v name="$1" -v how="${*:2}" -v weights="$(stat -c %s "$folder/$1"/*.safetensors | awk '{ n += $1 } END { print n }')" \
        -v written="$(stat -c %s "$out/model.onnx.data")" -v s="$seconds" -v cpu="$user" -v more="$system" -v kb="$kilobytes" \
        'BEGIN { printf "| %s | %s | %.1f | %.1f | %.0f | %.0f | %.0f | %.0f |\n",
                 name, how, weights / 1e9, written / 1e9, s, cpu + more, weights / 1e6 / (cpu + more), kb / 1024 }'
}

echo "| model | weights | GB read | GB written | seconds | of processor | MB read a second of processor | peak MB |"
echo "|---|---|--:|--:|--:|--:|--:|--:|"
row 8b-032 int4
row 8b-032 int4 --rotate
row 8b-032 int8
row 8b-032 fp8
rm -rf "$folder/export"
