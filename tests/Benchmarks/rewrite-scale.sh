#!/usr/bin/env bash
# Measures `halo rewrite` on training graphs of large LLaMAs; prints the table of README.md beside this file.
#   tests/Benchmarks/rewrite-scale.sh [FOLDER]     the graphs stay in FOLDER; without one they are deleted at the end
# Each data file is read once before it is measured, so that the numbers do not depend on the disk.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
mkdir -p "$folder"

dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
HALO_SCALE_GRAPHS="$folder" dotnet test tests/Halo.Tests.csproj --filter FullyQualifiedName~ScaledGraphFiles >&2
halo=(dotnet runner/bin/Release/net10.0/halo.dll)

nodes() { "${halo[@]}" inspect "$1" | sed -n 's/^\([0-9]*\) nodes.*/\1/p'; }

# row NAME SCHEME FORMAT
row() {
    local graph="$folder/$1.onnx" out="$folder/rewritten.onnx" layers seconds kilobytes
    cat "$graph.data" >/dev/null
    read -r seconds kilobytes < <(
        /usr/bin/time -f '%e %M' -o "$folder/time.txt" "${halo[@]}" rewrite "$graph" -o "$out" --scheme "$2" --format "$3" >/dev/null 2>"$folder/log.txt" ||
            { cat "$folder/log.txt" >&2; exit 1; }
        cat "$folder/time.txt")
    layers=$(sed 's/^[^-]*-0*\([0-9]*\).*/\1/' <<<"$1")
    awk -v name="$1" -v layers="$layers" -v in_nodes="$(nodes "$graph")" -v out_nodes="$(nodes "$out")" -v how="$2 $3" \
        -v graph="$(stat -c %s "$graph")" -v data="$(stat -c %s "$graph.data")" -v written="$(stat -c %s "$out")" -v s="$seconds" -v kb="$kilobytes" \
        'BEGIN { printf "| %s | %s | %d | %d | %d | %.1f | %.1f | %.1f | %.1f | %.0f | %.0f |\n",
                 name, how, layers, in_nodes, out_nodes, graph / 1e6, data / 1e9, written / 1e6, s, kb / 1024, 1000 * s / layers }'
}

echo "| graph | scheme, format | layers | nodes in | nodes out | MB in | GB of constants | MB out | seconds | peak MB | ms a layer |"
echo "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
for graph in 8b-008 8b-032 8b-032-batch-4 405b-016 405b-063 405b-126; do
    row $graph halo-2 int8
done
row 8b-032 halo-0 fp8
row 405b-126 halo-0 fp8
