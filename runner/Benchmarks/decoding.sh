#!/usr/bin/env bash
# Tokens a second of `halo generate` on a GPU, one row, greedy, exports in fp16, int4 and int4-fp16 (int4 weights in a graph of float16): HaloCuda, and ONNX Runtime's own provider where HALO_ONNXRUNTIME names
# its GPU build. Times hold the prompt and the recording of the first step.
#   runner/Benchmarks/decoding.sh MODEL_DIR [TOKENS]     a Hugging Face folder; 512 tokens without
# HALO names an executable where none is to be built.
set -euo pipefail
model=$(realpath "$1") tokens=${2:-512}
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

if [ -n "${HALO:-}" ]; then
    halo=("$HALO")
else
    dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2
    halo=(dotnet runner/bin/Release/net10.0/halo.dll)
fi

# row WEIGHTS PROVIDER
row() {
    local log
    if log=$("${halo[@]}" generate "$folder/$1" --prompt "select the" --max-tokens "$tokens" --device cuda --provider "$2" 2>&1 >/dev/null); then
        echo "| $1 | $2 | $(sed -n 's/.*in \(.*\) s (\(.*\) tok\/s).*/\1 s | \2/p' <<<"$log") |"
    else
        echo "| $1 | $2 | $(tail -1 <<<"$log") | - |"
    fi
}

echo "| weights | provider | $tokens tokens | tokens/s |"
echo "|---|---|---|---|"
for weights in fp16 int4 int4-fp16; do
    options=(--weights "${weights%-fp16}")
    if [ "$weights" = int4-fp16 ]; then options+=(--activations fp16); fi
    "${halo[@]}" export "$model" -o "$folder/$weights" "${options[@]}" --prompts 0 >&2
    row "$weights" halo
    # Its provider has no attention over caches in float32, which int4 alone means.
    if [ -n "${HALO_ONNXRUNTIME:-}" ] && [ "$weights" != int4 ]; then row "$weights" onnxruntime; fi
done
