#!/usr/bin/env bash
# What halo plan says of large models and long sequences, in bf16 over bf16 states (1B also float32), fp8 halo-0: a table in Markdown.
#   tests/Benchmarks/plan-large.sh [FOLDER]     the folders (weights are holes) stay in FOLDER; without one they are deleted at the end
# HALO names an executable where none is to be built; MEMORY (80GB) is the budget; ROWS_OF ("1b 32 512 ...") replaces the rows.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${1:-$(mktemp -d)}
if [ $# -eq 0 ]; then trap 'rm -rf "$folder"' EXIT; fi
if [ -z "${HALO:-}" ]; then dotnet build runner/Halo.Runner.csproj -c Release -v quiet >&2; fi
halo=(${HALO:-dotnet runner/bin/Release/net10.0/halo.dll})
declare -A shapes=([3l]=3,4096,14336,32,8,2048,0 [1b]=16,2048,8192,32,8,128256,1 [7b]=28,3584,18944,28,4,152064,0 [8b]=32,4096,14336,32,8,128256,0)
for name in "${!shapes[@]}"; do
    [ -e "$folder/$name/config.json" ] || SPARSE=1 ROWS=1 python3 runner/Benchmarks/Step/step.py folder "$folder/$name" "${shapes[$name]}" >&2
done
echo "| model | rows x tokens, rows an update | options | planned GiB | of it held | of the host | fits in ${MEMORY:-80GB} | seconds of processor |"
echo "|---|---|---|--:|--:|--:|---|--:|"
while read -r model rows tokens update options; do
    # shellcheck disable=SC2086 # words
    python3 - "$model" "$rows x $tokens, $update" "$options" "${halo[@]}" plan --model "$folder/$model" --device cuda --precision bf16 --format fp8 --scheme halo-0 \
        --micro-batch-size "$rows" --sequence-length "$tokens" --batch-size "$update" --memory "${MEMORY:-80GB}" $options --json <<'PYTHON'
import json, resource, subprocess, sys
model, sizes, options, *command = sys.argv[1:]
plan = json.loads(subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True).stdout)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
gib = lambda count: f"{count / 2**30:.1f}"
print(f"| {model} | {sizes} | {options} | {gib(plan['peak_bytes'])} | {gib(plan['held_bytes'])} | {gib(sum(plan['on_host'].values()))} | "
      f"{'yes' if plan['peak_bytes'] <= plan['budget_bytes'] else 'no'} | {used.ru_utime + used.ru_stime:.0f} |", flush=True)
PYTHON
done <<<"${ROWS_OF:-"7b 16 1024 512 --states bf16
7b 16 1024 512 --states bf16 --moments fp8 --recompute layer
7b 16 1024 512 --states bf16 --offload moments --recompute feed_forward
7b 16 1024 512 --states bf16 --offload moments --recompute layer
7b 16 1024 512 --states bf16 --offload moments --recompute feed_forward --offload-residuals true
7b 16 1024 512 --states bf16 --offload moments --recompute layer --offload-residuals true
7b 16 1024 512 --states bf16 --fit auto
7b 16 1024 512 --states bf16 --gradient-sums bf16 --offload moments --recompute elementwise
7b 16 1024 512 --states bf16 --gradient-sums bf16 --offload moments --fit auto
7b 16 1024 512 --states bf16 --gradient-sums bf16 --moments fp8 --fit auto
7b 8 1024 512 --states bf16 --offload moments --recompute elementwise
7b 4 1024 512 --states bf16 --offload moments
7b 16 1024 16 --states bf16 --optimizer-in-backward true --recompute layer
7b 16 1024 16 --states bf16 --optimizer-in-backward true --moments fp8 --recompute layer
8b 16 1024 16 --states bf16 --optimizer-in-backward true --recompute layer
8b 16 1024 16 --states bf16 --moments fp8 --recompute layer
1b 1 8192 1 --states bf16
1b 1 32768 1 --states bf16
8b 1 8192 1 --states bf16 --optimizer-in-backward true
8b 1 8192 1 --states bf16 --optimizer-in-backward true --recompute elementwise
8b 1 8192 1 --states bf16 --optimizer-in-backward true --recompute layer
8b 1 32768 1 --states bf16 --optimizer-in-backward true --recompute layer"}"
