#!/usr/bin/env bash
# LoRA of rank 16 over a frozen 8-bit base of Llama-3-8B's layers on a GPU, beside PyTorch and PEFT over bf16: a JSON line a run.
# Usage: runner/Benchmarks/adapters-gpu.sh FOLDER [LAYERS ...]. HALO names the executable; LIMIT seconds (150) after which no further run begins;
# ROWS and TOKENS of an update (4, 2048); PYTORCH=0 leaves PyTorch out. Weights are random: one block of draws, repeated. Fewer layers than 32 are to be
# extrapolated: time and memory are linear in layers, beside the embedding and the head.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:?name a folder for models and runs}
layers=("${@:2}")
[ "${#layers[@]}" -gt 0 ] || layers=(8 4)
rows=${ROWS:-4} tokens=${TOKENS:-2048} limit=${LIMIT:-150} halo=${HALO:-./halo}
mkdir -p "$folder"

# model LAYERS: a Hugging Face folder with the bundled tokenizer and rows that fill a sequence.
model() {
  python3 - "$folder/model-$1" "$1" <<'PYTHON'
import json, os, shutil, struct, sys, torch
out, layers = sys.argv[1], int(sys.argv[2])
hidden, ffn, kv, vocabulary = 4096, 14336, 1024, 128256
os.makedirs(out, exist_ok=True)
shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}
for i in range(layers):
    at = f"model.layers.{i}."
    shapes |= {at + "input_layernorm.weight": (hidden,), at + "post_attention_layernorm.weight": (hidden,)}
    shapes |= {at + f"self_attn.{n}_proj.weight": (o, hidden) for n, o in (("q", hidden), ("k", kv), ("v", kv), ("o", hidden))}
    shapes |= {at + "mlp.gate_proj.weight": (ffn, hidden), at + "mlp.up_proj.weight": (ffn, hidden), at + "mlp.down_proj.weight": (hidden, ffn)}
config = dict(architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=vocabulary, hidden_size=hidden, intermediate_size=ffn,
              num_hidden_layers=layers, num_attention_heads=32, num_key_value_heads=8, head_dim=128, max_position_embeddings=8192, rope_theta=500000.0,
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
draws = lambda x: memoryview(x.to(torch.bfloat16).view(torch.int16).cpu().numpy()).cast("B")
block, ones = draws(torch.randn(1 << 26, device="cuda") * 0.02), draws(torch.ones(hidden))
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
  if ! "$halo" train --model "$folder/model-$1" --data "$folder/model-$1/rows.jsonl" -o "$run" --device cuda --precision bf16 --adapter-kind lora \
    --adapter-rank 16 --scheme halo-0 --format fp8 --micro-batch-size "$rows" --batch-size "$rows" --sequence-length "$tokens" --steps 7 \
    --learning-rate 1e-4 --clip-norm 1 "${@:2}" >"$folder/log" 2>&1; then
    python3 -c 'import json, sys; print(json.dumps(dict(options=sys.argv[1], error=sys.argv[2][-600:])))' "$*" "$(tail -3 "$folder/log")"
    return
  fi
  python3 - "$run/metrics.jsonl" "$1" "${*:2}" "$rows" "$tokens" $((SECONDS - at)) "$(grep -m1 'in all' "$folder/log" || true)" <<'PYTHON'
import json, sys
updates = [r for r in map(json.loads, open(sys.argv[1])) if r["kind"] == "train"]
ms = sorted(r["milliseconds"] for r in updates[2:])[len(updates[2:]) // 2]
tokens = int(sys.argv[4]) * int(sys.argv[5])
print(json.dumps(dict(program="halo", layers=int(sys.argv[2]), options=sys.argv[3], ms=round(ms, 1), tokens_per_s=round(tokens / ms * 1e3),
                      peak_gib=round(max(r.get("memory_peak", 0) for r in updates) / 2**30, 2), planned=sys.argv[7].strip(),
                      losses=[round(r["loss"], 3) for r in updates[:3]], wall_s=int(sys.argv[6]))))
PYTHON
}

first=1
for count in "${layers[@]}"; do
  [ "$SECONDS" -lt "$limit" ] || break
  model "$count"
  row "$count" --recompute elementwise
  row "$count" --recompute feed_forward
  if [ "$first" = 1 ] && [ "${PYTORCH:-1}" = 1 ]; then
    timeout 75 python3 runner/Benchmarks/pytorch_lora.py "$count" 4096 14336 32 8 128256 "$rows" "$tokens" 16 compile checkpoint-compile || true
  fi
  first=0
  rm -rf "$folder/model-$count" "$folder/run"
done
