#!/usr/bin/env python3
"""A whole fine-tuning step (forward, backward, clipping, AdamW) on one GPU: `halo train` beside PyTorch. A line of JSON a figure.

  step.py folder  OUT SHAPE                              a Hugging Face folder of random bfloat16 weights, and rows that fill a sequence
  step.py halo    NAME FOLDER BATCH SEQUENCE OPTION..    `halo train` with these options: median of the updates behind the first three
  step.py pytorch SHAPE BATCH SEQUENCE KIND..            the same shape in PyTorch and Transformers

SHAPE  layers,hidden,ffn,heads,kv-heads,vocabulary,tied      3,4096,14336,32,8,2048,0 is three layers of Llama-3-8B
KIND   bf16-compile, float8-compile: bfloat16 parameters and moments; fp32master-compile, fp32master-float8-compile: float32 ones, bfloat16 by autocast

ROWS (512) of CHARACTERS (24000) each are written; SPARSE=1 leaves weights as holes, for halo plan. HALO names the executable (./halo), DEVICE cuda or cpu, STEPS the updates (12),
MICRO the micro-batches of an update (1), SKIP those at the begin that are not counted (3), LIMIT the seconds of all (150). Compare figures of one GPU in one run. Memory: planned by halo and in use at the most by its allocator, PyTorch's max_memory_allocated, and what nvidia-smi saw (peak_mib) of the GPUs that CUDA_VISIBLE_DEVICES names (all without it), other processes of theirs included.
"""
import hashlib
import json
import os
import random
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")
DEVICE = os.environ.get("DEVICE") or "cuda"
TOKENIZER, ROWS = os.path.join(ROOT, "models", "llama-tiny"), os.path.join(ROOT, "runner", "Data", "sql", "train.jsonl")


def say(**figures):
    print(json.dumps(figures), flush=True)


def shape_of(text):
    return dict(zip(("layers", "hidden", "ffn", "heads", "kv", "vocab", "tied"), map(int, text.split(","))))


def folder(out, text):
    s = shape_of(text)
    kv = s["hidden"] // s["heads"] * s["kv"]
    shapes = {"model.embed_tokens.weight": (s["vocab"], s["hidden"]), "model.norm.weight": (s["hidden"],)}
    if not s["tied"]:
        shapes["lm_head.weight"] = (s["vocab"], s["hidden"])
    for i in range(s["layers"]):
        for name, size in {
            "input_layernorm": (s["hidden"],), "post_attention_layernorm": (s["hidden"],),
            "self_attn.q_proj": (s["hidden"], s["hidden"]), "self_attn.k_proj": (kv, s["hidden"]), "self_attn.v_proj": (kv, s["hidden"]),
            "self_attn.o_proj": (s["hidden"], s["hidden"]), "mlp.gate_proj": (s["ffn"], s["hidden"]), "mlp.up_proj": (s["ffn"], s["hidden"]),
            "mlp.down_proj": (s["hidden"], s["ffn"]),
        }.items():
            shapes[f"model.layers.{i}.{name}.weight"] = size
    os.makedirs(out, exist_ok=True)
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=s["vocab"], hidden_size=s["hidden"], intermediate_size=s["ffn"],
        num_hidden_layers=s["layers"], num_attention_heads=s["heads"], num_key_value_heads=s["kv"], head_dim=s["hidden"] // s["heads"],
        max_position_embeddings=131072, rope_theta=500000.0, rms_norm_eps=1e-5, hidden_act="silu", tie_word_embeddings=bool(s["tied"]),
        torch_dtype="bfloat16", bos_token_id=0, eos_token_id=1)
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(config, f)
    for name in ("tokenizer.json", "tokenizer_config.json", "generation_config.json"):
        shutil.copy(os.path.join(TOKENIZER, name), out)
    header, at = {}, 0
    for name, size in shapes.items():
        end = at + 2 * size[0] * (size[1] if len(size) > 1 else 1)
        header[name] = dict(dtype="BF16", shape=list(size), data_offsets=[at, end])
        at = end
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    # A megabyte of normal numbers over and over: what weights are does not change how long a step takes.
    draw = random.Random(0)
    normal = b"".join(struct.pack("<f", draw.gauss(0, 0.02))[2:] for _ in range(1 << 19))
    with open(os.path.join(out, "model.safetensors"), "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        if os.environ.get("SPARSE"):
            f.truncate(f.tell() + at)
        for name, tensor in header.items() if not os.environ.get("SPARSE") else ():
            left = tensor["data_offsets"][1] - tensor["data_offsets"][0]
            if "norm" in name:
                f.write(b"\x80\x3f" * (left // 2))
                continue
            while left > 0:
                f.write(normal[:left])
                left -= len(normal)
    with open(ROWS) as f:
        questions = [json.loads(line)["messages"] for line in f]
    with open(os.path.join(out, "rows.jsonl"), "w") as f:
        for i in range(int(os.environ.get("ROWS", "512"))):
            answer = " ".join(q[1]["content"] for q in (questions * 2)[i * 2:i * 2 + 400])
            characters = int(os.environ.get("CHARACTERS", "24000"))
            answer = (answer * (characters // len(answer) + 1))[:characters]
            f.write(json.dumps({"messages": [{"role": "user", "content": questions[i][0]["content"][:40]}, {"role": "assistant", "content": answer}]}) + "\n")
    say(figure="folder", shape=text, gib=round(at / 2**30, 2))


def most(key, rows):
    return round(max(row.get(key, 0) for row in rows) / 2**30, 2)


def halo(name, model, batch, sequence, *options):
    steps, micro, work = int(os.environ.get("STEPS", "12")), int(os.environ.get("MICRO", "1")), tempfile.mkdtemp()
    skip, gpus = int(os.environ.get("SKIP", "3")), [f"--id={ids}" for ids in [os.environ.get("CUDA_VISIBLE_DEVICES")] if ids]
    metrics, log = os.path.join(work, "run", "metrics.jsonl"), os.path.join(work, "log")
    command = [os.environ.get("HALO", os.path.join(ROOT, "halo")), "train", "--model", model, "--data", os.path.join(model, "rows.jsonl"), "-o",
               os.path.join(work, "run"), "--device", DEVICE, "--micro-batch-size", batch, "--batch-size", str(micro * int(batch)), "--sequence-length", sequence,
               "--steps", str(steps + 500), "--learning-rate", "1e-5", "--clip-norm", "1", *options]
    rows, peak, start = [], 0, time.time()
    with open(log, "w") as out:
        run = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
    while run.poll() is None and len(rows) < steps and time.time() - start < float(os.environ.get("LIMIT", "150")):
        time.sleep(0.3)
        if DEVICE == "cuda":
            memory = subprocess.run(["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", *gpus], capture_output=True, text=True).stdout
            peak = max([peak, *(int(line) for line in memory.split() if line.isdigit())])
        if os.path.exists(metrics):
            with open(metrics) as f:
                rows = [json.loads(line) for line in f if line.endswith("\n")]
            rows = [row for row in rows if row["kind"] == "train"]
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    if len(rows) < 2:
        with open(log) as f:
            say(figure="halo", name=name, error=f.read()[-1500:])
    else:
        rows = rows[:steps]
        counted = rows[min(skip, len(rows) - 1):]
        ms = statistics.median(row["milliseconds"] for row in counted)
        # Of ranks: bytes that the first sends, how long its collectives run, and for what share of that it computes.
        ran, waited = (statistics.median(row.get(name, 0) for row in counted) for name in ("collective_milliseconds", "wait_milliseconds"))
        ranks = dict(sent_mib=round(statistics.median(row["sent_bytes"] for row in counted) / 2**20, 1), collectives_ms=round(ran, 1),
                     hidden=round(max(0, 1 - waited / ran), 3)) if ran else {}
        # Runs of the same bits have the same.
        bits = hashlib.sha256(json.dumps([(row["loss"], row["gradient_norm"]) for row in rows]).encode()).hexdigest()[:12]
        with open(log) as f:
            text = f.read()
        planned, chosen = re.search(r"memory: needs ([0-9.]+ [KMGT]iB)", text), re.search(r"memory: (recompute .*) takes ", text)
        say(figure="halo", name=name, options=" ".join(options), batch=int(batch), sequence=int(sequence), micro_batches=micro, ms=round(ms, 1),
            tokens_per_s=round(micro * int(batch) * int(sequence) / ms * 1e3), steps=len(rows), losses=[round(row["loss"], 4) for row in rows[:3]], bits=bits,
            planned=planned and planned[1], in_use_gib=most("memory_peak", rows), reserved_gib=most("memory_reserved", rows), peak_mib=peak, **ranks,
            first_update_s=round(rows[0]["time"] - start, 1), **dict(chosen=chosen[1]) if chosen else {}, seconds=round(time.time() - start))
    shutil.rmtree(work)


def pytorch(text, batch, sequence, *kinds):
    import gc
    import torch
    import transformers
    s, batch, sequence = shape_of(text), int(batch), int(sequence)
    torch.backends.cuda.matmul.allow_tf32 = True
    e4m3, e5m2 = torch.float8_e4m3fn, torch.float8_e5m2

    def quantized(x, kind):
        scale = torch.finfo(kind).max / x.abs().amax().float().clamp(min=1e-12)
        return (x.float() * scale).clamp(-torch.finfo(kind).max, torch.finfo(kind).max).to(kind), 1 / scale

    class Float8(torch.autograd.Function):
        """One dynamic scale a tensor, all three products in float8: torchao's fastest recipe."""
        @staticmethod
        def forward(context, x, w):
            rows = x.reshape(-1, x.shape[-1])
            (a, scale_a), (b, scale_b) = quantized(rows, e4m3), quantized(w, e4m3)
            context.save_for_backward(rows, w, scale_a, scale_b)
            context.sizes = x.shape
            return torch._scaled_mm(a, b.t(), scale_a=scale_a, scale_b=scale_b, out_dtype=x.dtype, use_fast_accum=True).reshape(*x.shape[:-1], -1)

        @staticmethod
        def backward(context, dy):
            rows, w, scale_x, scale_w = context.saved_tensors
            g, scale_g = quantized(dy.reshape(-1, dy.shape[-1]), e5m2)
            turned = quantized(w, e4m3)[0].t().contiguous().t()
            dx = torch._scaled_mm(g, turned, scale_a=scale_g, scale_b=scale_w, out_dtype=dy.dtype).reshape(context.sizes)
            other = quantized(rows, e4m3)[0].t().contiguous().t()
            return dx, torch._scaled_mm(g.t().contiguous(), other, scale_a=scale_g, scale_b=scale_x, out_dtype=dy.dtype)

    class Float8Linear(torch.nn.Linear):
        def forward(self, x):
            return Float8.apply(x.to(torch.bfloat16), self.weight)

    for kind in kinds:
        torch.cuda.reset_peak_memory_stats()
        torch._dynamo.reset()
        config = transformers.LlamaConfig(
            vocab_size=s["vocab"], hidden_size=s["hidden"], intermediate_size=s["ffn"], num_hidden_layers=s["layers"], num_attention_heads=s["heads"],
            num_key_value_heads=s["kv"], head_dim=s["hidden"] // s["heads"], max_position_embeddings=8192, rope_theta=500000.0,
            tie_word_embeddings=bool(s["tied"]), attn_implementation="sdpa")
        masters = kind.startswith("fp32master")
        with torch.device("cuda"):
            model = transformers.LlamaForCausalLM(config)
        model = model if masters else model.to(torch.bfloat16)
        model.config.use_cache = False
        if "float8" in kind:
            for name, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
                    module.__class__ = Float8Linear
        optimizer, run = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True), torch.compile(model)
        ids, times = torch.randint(0, s["vocab"], (batch, sequence), device="cuda"), []
        for _ in range(10):
            start, end = torch.cuda.Event(True), torch.cuda.Event(True)
            start.record()
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=masters):
                loss = run(input_ids=ids, labels=ids, use_cache=False).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        ms = statistics.median(times[3:])
        say(figure="pytorch", kind=kind, shape=text, batch=batch, sequence=sequence, ms=round(ms, 1), tokens_per_s=round(batch * sequence / ms * 1e3),
            peak_mib=torch.cuda.max_memory_allocated() >> 20, torch=torch.__version__, transformers=transformers.__version__,
            gpu=torch.cuda.get_device_name())
        del model, optimizer, run, loss
        gc.collect()
        torch.cuda.empty_cache()


{"folder": folder, "halo": halo, "pytorch": pytorch}[sys.argv[1]](*sys.argv[2:])
