#!/usr/bin/env python3
"""A fine-tuning step of PyTorch's FSDP2 (fully_shard, a unit a layer, each compiled): the peer of `halo train` on several GPUs. A line of JSON a kind.

  torchrun --nproc-per-node N fsdp.py SHAPE BATCH SEQUENCE KIND..     BATCH rows a GPU; SHAPE as step.py has it

KIND  bf16: parameters, gradients and moments in bfloat16; master: float32 ones, gathered, computed and reduced in bfloat16
"""
import gc
import json
import os
import statistics
import sys

import torch
import torch.distributed
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from transformers import LlamaConfig, LlamaForCausalLM, __version__ as transformers_version


def model_of(shape, kind):
    layers, hidden, ffn, heads, kv, vocab, tied = shape
    config = LlamaConfig(vocab_size=vocab, hidden_size=hidden, intermediate_size=ffn, num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=kv,
                         head_dim=hidden // heads, max_position_embeddings=8192, rope_theta=500000.0, tie_word_embeddings=bool(tied), attn_implementation="sdpa")
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    if kind == "bf16":
        model = model.to(torch.bfloat16)
    model.config.use_cache = False
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16) if kind == "master" else MixedPrecisionPolicy()
    for layer in model.model.layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(model, mp_policy=policy)
    model.to_empty(device="cuda")
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02) if parameter.ndim > 1 else torch.nn.init.ones_(parameter)
    model.model.rotary_emb = type(model.model.rotary_emb)(config, device="cuda")  # what to_empty left of its frequencies is nothing
    if tied:
        model.tie_weights()
    for layer in model.model.layers:
        layer.compile()
    return model


def main():
    shape, batch, sequence, kinds = [int(n) for n in sys.argv[1].split(",")], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    rank, ranks = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    torch.cuda.set_device(rank)
    torch.distributed.init_process_group("nccl", device_id=torch.device("cuda", rank))
    for kind in kinds:
        torch.cuda.reset_peak_memory_stats()
        torch._dynamo.reset()
        model = model_of(shape, kind)
        optimizer, times = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True), []
        ids = torch.randint(0, shape[5], (batch, sequence), device="cuda")
        for _ in range(12):
            start, end = torch.cuda.Event(True), torch.cuda.Event(True)
            start.record()
            optimizer.zero_grad(set_to_none=True)
            model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            end.record()
            torch.cuda.synchronize()
            times.append(start.elapsed_time(end))
        ms = statistics.median(times[4:])
        if rank == 0:
            print(json.dumps(dict(figure="fsdp2", kind=kind, gpus=ranks, shape=sys.argv[1], batch=batch, sequence=sequence, ms=round(ms, 1),
                                  tokens_per_s=round(ranks * batch * sequence / ms * 1e3), peak_mib=torch.cuda.max_memory_allocated() >> 20,
                                  torch=torch.__version__, transformers=transformers_version, gpu=torch.cuda.get_device_name())), flush=True)
        del model, optimizer
        gc.collect()
        torch.cuda.empty_cache()
    torch.distributed.destroy_process_group()


main()
