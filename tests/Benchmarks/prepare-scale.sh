#!/usr/bin/env bash
# Measures `halo prepare` on Hugging Face folders of large models; prints the table of README.md beside this file.
#   tests/Benchmarks/prepare-scale.sh [FOLDER [MODEL ...]]     the folders stay in FOLDER; without one they are deleted at the end
# HALO names an executable in place of the one that is built here.
# Weights are zeros, which the file system holds as holes.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
mkdir -p "$folder"

halo=(${HALO:-dotnet runner/bin/Release/net10.0/halo.dll})
[ -n "${HALO:-}" ] || dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
if [ ! -e "$folder/olmo2-7b-32/tokenizer.json" ]; then
    HALO_SCALE_CHECKPOINTS="$folder" dotnet test tests/Halo.Tests.csproj --filter FullyQualifiedName~ScaledCheckpoints >&2
fi
nodes() { "${halo[@]}" inspect "$1" | sed -n 's/^\([0-9]*\) nodes.*/\1/p'; }

# row NAME SCHEME FORMAT
row() {
    local out="$folder/artifact" layers seconds user system kilobytes
    rm -rf "$out"
    read -r seconds user system kilobytes < <(
        /usr/bin/time -f '%e %U %S %M' -o "$folder/time.txt" "${halo[@]}" prepare --model "$folder/$1" -o "$out" --scheme "$2" --format "$3" \
            --micro-batch-size 1 --sequence-length 512 >/dev/null 2>"$folder/log.txt" || { cat "$folder/log.txt" >&2; exit 1; }
        cat "$folder/time.txt")
    layers=$(sed 's/.*-0*\([0-9]*\)$/\1/' <<<"$1")
    awk -v name="$1" -v layers="$layers" -v how="$2 $3" -v weights="$(stat -c %s "$folder/$1"/*.safetensors | awk "{ n += \$1 } END { print n }")" \
        -v training="$(nodes "$out/training_model.onnx")" -v optimizer="$(nodes "$out/optimizer_model.onnx")" \
        -v written="$(cat "$out"/*.onnx "$out"/manifest.json | wc -c)" -v s="$seconds" -v cpu="$user" -v more="$system" -v kb="$kilobytes" \
        'BEGIN { printf "| %s | %s | %d | %.1f | %d | %d | %.1f | %.1f | %.1f | %.0f | %.0f |\n",
                 name, how, layers, weights / 1e9, training, optimizer, written / 1e6, s, cpu + more, kb / 1024, 1000 * (cpu + more) / layers }'
}

echo "| model | scheme, format | layers | GB of weights | training nodes | optimizer nodes | MB written | seconds | of processor | peak MB | ms of processor a layer |"
echo "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
if [ $# -gt 1 ]; then
    for model in "${@:2}"; do row "$model" halo-2 int8; done
    exit
fi
for model in 8b-008 8b-032 405b-016 405b-063 405b-126; do
    row $model halo-2 int8
done
row 8b-032 none none
row 8b-032 halo-0 fp8
for model in mistral-7b-32 qwen2.5-7b-28 qwen3-8b-36 phi3-medium-40 phi4-mini-32 smollm3-3b-36 olmo2-7b-32; do
    row $model halo-2 int8
done
rm -rf "$folder/artifact"
