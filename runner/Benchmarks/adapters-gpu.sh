#!/usr/bin/env bash
# LoRA of rank 16 over a frozen base of Llama-3-8B's shape on a GPU, by what its base is held as and what is computed again, beside PyTorch and PEFT over bf16, and
# EfQAT beside training all rows, of fewer layers: a JSON line a run, as it ends. Usage: runner/Benchmarks/adapters-gpu.sh FOLDER [LAYERS (32)]
# HALO names the executable; LIMIT seconds (220) after which no further run begins, RUN_LIMIT of one (100); ROWS and TOKENS of an update (4, 2048); LIST: which runs,
# by the names below (default: lora efqat pytorch lora-halo-1); EFQAT_LAYERS (4). TRACER: kernel_trace.so (Step/kernel_trace.cc); a row then also has the times of
# forward, loss, backward and update on the device (Step/backward_time.py), which tracing makes some percent longer. Weights are random: one block of draws, repeated.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:?name a folder for models and runs}
layers=${2:-32}
rows=${ROWS:-4} tokens=${TOKENS:-2048} limit=${LIMIT:-220} run_limit=${RUN_LIMIT:-100} halo=${HALO:-./halo} device=${DEVICE:-cuda} list=${LIST:-lora efqat pytorch lora-halo-1}
mkdir -p "$folder"

# model LAYERS: a Hugging Face folder with the bundled tokenizer and rows that fill a sequence.
model() {
  python3 - "$folder/model-$1" "$1" <<'PYTHON'
import json, os, random, shutil, struct, sys
out, layers = sys.argv[1], int(sys.argv[2])
hidden, ffn, kv, vocabulary = (64, 192, 32, 2048) if os.environ.get("TRIAL") else (4096, 14336, 1024, 128256)
os.makedirs(out, exist_ok=True)
shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}
for i in range(layers):
    at = f"model.layers.{i}."
    shapes |= {at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,)}
    shapes |= {at + f"self_attn.{n}_proj.weight": (o, hidden) for n, o in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden))}
    shapes |= {at + "mlp.gate_proj.weight": (ffn, hidden), at + "mlp.up_proj.weight": (ffn, hidden), at + "mlp.down_proj.weight": (hidden, ffn)}
config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=vocabulary, hidden_size=hidden, intermediate_size=ffn,
              num_hidden_layers=layers, num_attention_heads=32 if hidden > 64 else 4, num_key_value_heads=8 if hidden > 64 else 2,
              head_dim=hidden // (32 if hidden > 64 else 4), max_position_embeddings=8192, rope_theta=500000.0,
              rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=False, torch_dtype="bfloat16", bos_token_id=0, eos_token_id=1)
json.dump(config, open(f"{out}/config.json", "w"))
for name in ("tokenizer.json", "tokenizer_config.json"):
    shutil.copy(f"models/llama-tiny/{name}", out)
header, end = {}, 0
for name, shape in shapes.items():
    size = 2 * shape[0] * (shape[1] if len(shape) > 1 else 1)
    header[name] = dict(dtype="BF16", shape=list(shape), data_offsets=[end, end + size])
    end += size
head = json.dumps(header).encode()
head += b" " * (-len(head) % 8)
draw = random.Random(1)
rounded = lambda values: b"".join(struct.pack("<f", value)[2:] for value in values)  # to bfloat16
block, ones = rounded(draw.gauss(0, 0.02) for _ in range(1 << 20)) * 64, rounded([1.0] * hidden)
with open(f"{out}/model.safetensors", "wb") as file:
    file.write(struct.pack("<Q", len(head)) + head)
    for name, entry in header.items():
        left = entry["data_offsets"][1] - entry["data_offsets"][0]
        while left > 0:
            file.write((ones if "norm" in name else block)[:left])
            left -= min(left, len(ones if "norm" in name else block))
texts = [json.loads(line)["messages"][1]["content"] for line in open("runner/Data/sql/train.jsonl")]
with open(f"{out}/rows.jsonl", "w") as file:
    for i in range(64):
        answer = " ".join(texts[5 * i:5 * i + 400])[:24000]
        file.write(json.dumps({"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": answer}]}) + "\n")
PYTHON
}

# row LAYERS OPTION...: seven updates; the median of all but the first two.
row() {
  [ "$SECONDS" -lt "$limit" ] || { echo "{\"left_out\": \"$*\", \"seconds\": $SECONDS}"; return; }
  local run="$folder/run" at="$SECONDS"
  rm -rf "$run"
  local traced=()
  rm -f "$folder/trace.tsv"
  [ -z "${TRACER:-}" ] || traced=(env CUDA_INJECTION64_PATH="$TRACER" KERNEL_TRACE="$folder/trace.tsv")
  if ! timeout -k 5 "$run_limit" "${traced[@]}" "$halo" train --model "$folder/model-$1" --data "$folder/model-$1/rows.jsonl" -o "$run" --device "$device" \
    --micro-batch-size "$rows" --batch-size "$rows" --sequence-length "$tokens" --steps "${STEPS:-7}" --learning-rate 1e-4 --clip-norm 1 "${@:2}" \
    >"$folder/log" 2>&1; then
    python3 -c 'import json, sys; print(json.dumps(dict(options=sys.argv[1], wall_s=int(sys.argv[3]), error=sys.argv[2][-600:])))' "$*" \
      "$(tail -3 "$folder/log")" $((SECONDS - at))
    return
  fi
  python3 - "$run/metrics.jsonl" "$1" "${*:2}" "$rows" "$tokens" $((SECONDS - at)) "$(grep -m1 'memory: needs' "$folder/log" || true)" \
    "$([ -z "${TRACER:-}" ] || python3 runner/Benchmarks/Step/backward_time.py "$folder/trace.tsv")" <<'PYTHON'
import json, sys
updates = [r for r in map(json.loads, open(sys.argv[1])) if r["kind"] == "train"]
ms = sorted(r["milliseconds"] for r in updates[2:])[len(updates[2:]) // 2]
tokens = int(sys.argv[4]) * int(sys.argv[5])
print(json.dumps(dict(program="halo", layers=int(sys.argv[2]), options=sys.argv[3], ms=round(ms, 1), tokens_per_s=round(tokens / ms * 1e3),
                      peak_gib=round(max(r.get("memory_peak", 0) for r in updates) / 2**30, 2), planned=sys.argv[7].strip(),
                      losses=[round(r["loss"], 3) for r in updates[:3]], wall_s=int(sys.argv[6])) | (dict(device_ms=json.loads(sys.argv[8])) if sys.argv[8] else {})))
PYTHON
}

precision=(${PRECISION:---precision bf16})
lora=("${precision[@]}" --adapter-kind lora --adapter-rank 16)
fp8=(--scheme halo-0 --format fp8) int8=(--format int8)
for part in $list; do
  [ "$SECONDS" -lt "$limit" ] || break
  case "$part" in
    lora | lora-*) [ -d "$folder/model-$layers" ] || model "$layers" ;;&
    lora)
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute mixed --recompute-layers $((layers * 3 / 8))
      row "$layers" "${lora[@]}" "${int8[@]}" --scheme halo-0 --recompute elementwise
      row "$layers" "${lora[@]}" "${fp8[@]}" --adapter-base int4 --recompute feed_forward
      ;;
    lora-halo-1) row "$layers" "${lora[@]}" "${int8[@]}" --scheme halo-1 --recompute elementwise ;;
    lora-40)
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise --transposed-codes all
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise --saved-codes swiglu --transposed-codes all
      ;;
    lora-30)
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise --saved-codes swiglu
      row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise --saved-codes swiglu --transposed-codes "${TRANSPOSED:-3.3GiB}"
      ;;
    lora-fit)
      row "$layers" "${lora[@]}" "${fp8[@]}" --fit auto --memory 40GiB
      row "$layers" "${lora[@]}" "${fp8[@]}" --fit auto --memory 30GiB
      ;;
    lora-fp8) row "$layers" "${lora[@]}" "${fp8[@]}" --recompute elementwise ;;
    lora-int4)
      row "$layers" "${lora[@]}" "${fp8[@]}" --adapter-base int4 --recompute feed_forward
      row "$layers" "${lora[@]}" "${fp8[@]}" --adapter-base int4 --recompute weights --saved-codes all
      ;;
    lora-codes) row "$layers" "${lora[@]}" "${fp8[@]}" --recompute weights --saved-codes all ;;
    lora-codes-less) row "$layers" "${lora[@]}" "${fp8[@]}" --recompute feed_forward --recompute-layers $((layers * 11 / 32)) --saved-codes all ;;
    pytorch) timeout -k 5 "$run_limit" python3 runner/Benchmarks/pytorch_lora.py "$layers" 4096 14336 32 8 128256 "$rows" "$tokens" 16 compile-layers || true ;;
    efqat)
      count=${EFQAT_LAYERS:-4}
      model "$count"
      states=(--states "${STATES:-bf16}")
      row "$count" "${precision[@]}" "${states[@]}" "${fp8[@]}"
      for share in 0.1 0.3; do
        row "$count" "${precision[@]}" "${states[@]}" "${fp8[@]}" --adapter-kind efqat --adapter-rows "$share" --adapter-every 1000
      done
      ;;
  esac
done
rm -rf "$folder"/model-* "$folder/run"
