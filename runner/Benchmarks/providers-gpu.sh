#!/usr/bin/env bash
# Both execution providers on one GPU: decoding, tokens a second of a 1B shape in fp16, int4 and int4-fp16 (int4 weights in a graph of float16, which ONNX
# Runtime's provider wants), and `halo step` of exported graphs (float32, bfloat16, their FP8 rewrites), how far the two differ, kernel profiles of decoding.
# Decoding waits for the host at every token: what else runs there makes it slower. About 200 s (DEADLINE: no row begins later; rows of less worth come last).
#   H=FOLDER SHARED=FOLDER PROV=FOLDER runner/Benchmarks/providers-gpu.sh
# H: the published halo with its CUDA library. SHARED/bench: llama_folder.py, which makes a Hugging Face folder, and ncu_table.py. PROV: part1, a tar.xz of
# libonnxruntime.so, _providers_shared.so and _providers_cuda.so of Microsoft.ML.OnnxRuntime.Gpu.Linux with their SHA256SUMS, and exports.tar.xz, folders
# llama2-mha and llama32-tied with training.onnx, training-bf16.onnx, model.safetensors, expected.safetensors; without PROV that provider is left out. CUDA 13's
# libraries are looked for under /usr/local/cuda and Python's packages. Writes $OUT/providers.txt. TINY_RUN=1: tiny sizes; DEVICE=cpu: decoding on the CPU.
set -u
H=${H:?} W=${W:-$(mktemp -d)} OUT=${OUT:-$PWD}
out=$OUT/providers.txt prov=${PROV:-$PWD/.prov} device=${DEVICE:-cuda} work=$W/providers deadline=${DEADLINE:-200} begin=$SECONDS
tokens=512 shape="16 2048 8192 32 8 128256 1"
[ -z "${TINY_RUN:-}" ] || { tokens=12; shape="2 64 192 4 2 2048 1"; }
mkdir -p "$OUT" "$work/ort" "$work/exports"; : >"$out"
say() { echo "[$((SECONDS - begin)) s] $*" | tee -a "$out"; }
shown() { cut -c1-400 | tee -a "$out"; }
late() { [ $((SECONDS - begin)) -gt "$deadline" ] && say "left out, late: $*"; }
say "commit $(git rev-parse --short HEAD 2>/dev/null || echo 'commit unknown')"; nvidia-smi -L 2>&1 | shown
folder=.gpu/llama_folder.py; [ -f $folder ] || folder=${SHARED:-..}/bench/llama_folder.py
model=$work/1b
if [ -f "$prov/part1" ]; then
  (timeout 100 xz -dc "$prov/part1" | tar xf - -C "$work/ort"; tar xJf "$prov/exports.tar.xz" -C "$work/exports") & unpacking=$!
fi
[ -f "$model/config.json" ] || timeout 120 python3 $folder "$model" $shape 2>&1 | tail -1 | shown
all="fp16 int4 int4-fp16"
options_of() { case $1 in int4-fp16) echo "--weights int4 --activations fp16" ;; *) echo "--weights $1" ;; esac; }
for weights in $all; do
  [ -f "$work/$weights/model.onnx" ] || timeout 150 "$H/halo" export "$model" -o "$work/$weights" $(options_of $weights) --prompts 0 >"$work/export-$weights.log" 2>&1 &
  exports="${exports:-} $!"
done
wait $exports
for weights in $all; do [ -f "$work/$weights/model.onnx" ] || { say "export $weights failed"; tail -3 "$work/export-$weights.log" | shown; }; done
say exported

# decode NAME WEIGHTS options..
decode() {
  local name=$1 weights=$2; shift 2
  late "$name" && return
  timeout 60 "$H/halo" generate "$work/$weights" --prompt "select the" --max-tokens $tokens --device $device "$@" >"$work/$name.text" 2>"$work/$name.log"
  say "decode $name: $(tail -1 "$work/$name.log" | cut -c1-400) | $(grep '^steps:' "$work/$name.log" || echo "steps: not said") | text $(sha256sum <"$work/$name.text" | cut -c1-12)"
}
for weights in $all; do for n in 1 2; do decode halo-$weights-$n $weights; done; done

with_ort() { HALO_ONNXRUNTIME=$work/ort/libonnxruntime.so LD_LIBRARY_PATH=$libs:${LD_LIBRARY_PATH:-} "$@"; }
cat >"$work/differ.py" <<'P'
import json, struct, sys
import numpy as np
def read(p):
    b = open(p, "rb").read(); n = struct.unpack("<Q", b[:8])[0]; h = json.loads(b[8:8 + n]); out = {}
    for k, t in h.items():
        if k == "__metadata__": continue
        raw = b[8 + n + t["data_offsets"][0]:8 + n + t["data_offsets"][1]]
        if t["dtype"] == "BF16": v = (np.frombuffer(raw, np.uint16).astype(np.uint32) << 16).view(np.float32)
        elif t["dtype"] == "F16": v = np.frombuffer(raw, np.float16).astype(np.float32)
        elif t["dtype"] == "F32": v = np.frombuffer(raw, np.float32)
        else: continue
        out[k] = v.astype(np.float64)
    return out
a, b = read(sys.argv[1]), read(sys.argv[2])
worst = {k: (float(np.abs(a[k] - b[k]).max()), float(np.linalg.norm(a[k] - b[k]) / max(np.linalg.norm(a[k]), 1e-30))) for k in a if k in b}
k = max(worst, key=lambda n: worst[n][0]); r = max(worst, key=lambda n: worst[n][1])
print(f"{len(worst)} of {len(a)} tensors | loss {float(a['loss'].ravel()[0]):.7g} {float(b['loss'].ravel()[0]):.7g} | most apart {worst[k][0]:.2e} ({k}) | most apart of the norm {worst[r][1]:.2e} ({r})")
P
# step NAME GRAPH FOLDER
step() {
  local p
  late "$1" && return
  for p in halo onnxruntime; do
    with_ort timeout 60 "$H/halo" step "$2" --params "$3/model.safetensors" --batch "$3/expected.safetensors" -o "$work/$1-$p.safetensors" --device $device --provider $p >"$work/step.log" 2>&1 ||
      { say "step $1 on $p failed:"; tail -4 "$work/step.log" | shown; return; }
  done
  say "step $1: $(python3 "$work/differ.py" "$work/$1-halo.safetensors" "$work/$1-onnxruntime.safetensors" 2>&1 | tail -1)"
  [ "${4:-}" != expected ] || say "step $1 and PyTorch: halo $(python3 "$work/differ.py" "$3/expected.safetensors" "$work/$1-halo.safetensors" 2>&1 | tail -1) || onnxruntime $(python3 "$work/differ.py" "$3/expected.safetensors" "$work/$1-onnxruntime.safetensors" 2>&1 | tail -1)"
}
if [ -n "${unpacking:-}" ]; then
  wait $unpacking
  (cd "$work/ort" && sha256sum -c SHA256SUMS) 2>&1 | shown
  libs=$(for f in libcublas.so.13 libcublasLt.so.13 libcurand.so.10 libcudart.so.13 libcudnn.so.9; do
    timeout 20 find /usr/local/cuda*/ /usr/local/lib/python3*/ /usr/lib/python3*/ /opt "$(python3 -c 'import site; print(site.getsitepackages()[0])' 2>/dev/null)" -name $f 2>/dev/null | head -1 | xargs -r dirname; done | sort -u | paste -sd:)
  say "libraries: $libs"
  with_ort timeout 60 "$H/halo" doctor 2>&1 | grep -i "runtime\|provider\|cublas\|cudnn\|gpu" | shown
  with_ort ldd "$work/ort/libonnxruntime_providers_cuda.so" 2>&1 | grep "not found" | shown
  for weights in fp16 int4-fp16; do with_ort decode onnxruntime-$weights $weights --provider onnxruntime; done
  say "XQA: a kernel of ONNX Runtime's for one token, which it leaves off"
  ORT_ENABLE_XQA=1 with_ort decode onnxruntime-fp16-xqa fp16 --provider onnxruntime
  for name in llama32-tied llama2-mha; do
    d=$work/exports/$name
    step $name $d/training.onnx $d expected
    step $name-bf16 $d/training-bf16.onnx $d
    for graph in training training-bf16; do
      timeout 60 "$H/halo" rewrite $d/$graph.onnx -o $d/$graph-fp8.onnx --scheme halo-2 --format fp8 >"$work/rewrite.log" 2>&1 || { say "rewrite $name $graph failed:"; tail -2 "$work/rewrite.log" | shown; continue; }
      step $name-$graph-fp8 $d/$graph-fp8.onnx $d
    done
  done
else
  say "no $prov/part1: ONNX Runtime's provider is left out"
fi
if command -v ncu >/dev/null; then
  for weights in $all; do
    late "profile $weights" && break
    timeout 90 ncu --metrics gpu__time_duration.sum --csv --clock-control none --target-processes all --graph-profiling node --launch-skip 1200 --launch-count 900 --kill yes \
      "$H/halo" generate "$work/$weights" --prompt "select the" --max-tokens 24 --device $device >"$work/ncu-$weights.csv" 2>"$work/ncu-$weights.log"
    say "kernels of steps of $weights"; python3 "$(dirname $folder)/ncu_table.py" "$work/ncu-$weights.csv" 16 2>&1 | shown
  done
fi
say done
