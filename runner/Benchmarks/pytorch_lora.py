"""LoRA over a frozen bf16 base with PyTorch and PEFT, whose figures stand beside those of adapters-gpu.sh: a JSON line a kind.

usage: pytorch_lora.py LAYERS HIDDEN FFN HEADS KV_HEADS VOCABULARY ROWS TOKENS RANK KIND...
KIND: eager, checkpoint (gradient checkpointing), compile, compile-layers (each layer by itself, which is compiled sooner), checkpoint-compile (each layer compiled, and computed again in the backward part).
"""
import gc
import json
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

torch._dynamo.config.recompile_limit = 256  # layers differ by their number alone, which counts

layers, hidden, ffn, heads, kv_heads, vocabulary, rows, tokens, rank = map(int, sys.argv[1:10])
TARGETS = [f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")]


def median_ms(step, warm=3, count=7):
    for _ in range(warm):
        step()
    torch.cuda.synchronize()
    times = []
    for _ in range(count):
        begin, end = torch.cuda.Event(True), torch.cuda.Event(True)
        begin.record()
        step()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[count // 2]


def build(kind):
    torch.set_default_dtype(torch.bfloat16)
    config = LlamaConfig(vocab_size=vocabulary, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads,
                         num_key_value_heads=kv_heads, head_dim=hidden // heads, max_position_embeddings=8192, rope_theta=500000.0,
                         attn_implementation="sdpa")
    with torch.device("cuda"):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.config.use_cache = False
    model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS))
    if kind.startswith("checkpoint"):
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    if kind == "compile-layers":
        for layer in model.base_model.model.model.layers:
            layer.compile()
    if kind == "checkpoint-compile":
        for layer in model.base_model.model.model.layers:
            layer.self_attn.compile()
            layer.mlp.compile()
            layer.input_layernorm.compile()
            layer.post_attention_layernorm.compile()
    return model


def run(kind):
    torch.cuda.reset_peak_memory_stats()
    torch._dynamo.reset()
    model = build(kind)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
    forward = torch.compile(model) if kind == "compile" else model
    ids = torch.randint(0, vocabulary, (rows, tokens), device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16):
            loss = forward(input_ids=ids, labels=ids, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    ms = median_ms(step)
    return dict(ms=round(ms, 1), tokens_per_s=round(rows * tokens / ms * 1e3), peak_gib=round(torch.cuda.max_memory_allocated() / 2**30, 1))


for kind in sys.argv[10:]:
    row = dict(program=f"PyTorch {torch.__version__}", kind=kind, layers=layers)
    try:
        row |= run(kind)
    except Exception as error:  # a row tells of it, and the next kind is tried
        row["error"] = str(error)[:200]
    print(json.dumps(row), flush=True)
    gc.collect()
    torch.cuda.empty_cache()
