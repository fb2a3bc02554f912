"""Adapters of the bundled model on its SQL data: losses by kind and base, and what merging into exports keeps. A JSON line a run, as it ends.

usage: adapters.py HALO FOLDER [PART ...]
HALO: the executable. PART: lora (over float32 and 8-bit bases), kinds (DoRA and RoSA of LoRA's number of parameters), efqat (rows of the model itself beside all
of it), merges (of the first seed's adapters into exports); all where none is named.
Parts begin in the order named; merges begin as their adapters end.
Environment: SEEDS ("0 1 2"), GPUS (0: on the CPU), PARALLEL (runs at a time on a GPU, or in all; 1), MERGING (exports at a time, beside the runs; 1), THREADS (of
each; 1), STEPS (of a run; 180), BATCH and TOKENS (of an update: 32 rows of 256), DATA (a folder of train.jsonl and valid.jsonl), LIMIT (seconds after which nothing
begins; 3600), RUN_LIMIT (seconds of one run; 600), RESULTS (a file that gets the lines too).

The model has 299 008 parameters of LoRA at rank 16 on all linear layers. DoRA of rank 15 has 290 048; RoSA of rank 8 and 149 504 elements (a share of 0.0507) or
rank 12 and 74 752 (0.02535) has as many as LoRA. All scales are 2. Settings are those of models/README.md, lr 5e-3 for adapters, 1e-3 for the model itself.
"""
import concurrent.futures
import json
import os
import queue
import struct
import subprocess
import sys
import time

halo, folder, parts = sys.argv[1], sys.argv[2], sys.argv[3:] or ["lora", "kinds", "efqat", "merges"]
seeds = os.environ.get("SEEDS", "0 1 2").split()
gpus, parallel, merging, steps = (int(os.environ.get(name, other)) for name, other in (("GPUS", 0), ("PARALLEL", 1), ("MERGING", 1), ("STEPS", 180)))
threads = os.environ.get("THREADS", "1")
limit, run_limit = float(os.environ.get("LIMIT", 3600)), float(os.environ.get("RUN_LIMIT", 600))
model, data = "models/llama-tiny", os.environ.get("DATA", "runner/Data/sql")
batch, tokens = os.environ.get("BATCH", "32"), os.environ.get("TOKENS", "256")
begun = time.monotonic()
places = queue.SimpleQueue()  # of runs at a time: the number of a GPU, or none
for _ in range(parallel):
    for gpu in range(max(gpus, 1)):
        places.put(str(gpu) if gpus else None)

LORA = ["--adapter-kind", "lora", "--adapter-rank", "16", "--adapter-alpha", "32"]
CELLS = {
    "lora": [("lora", base, LORA + base.split()) for base in
             ("--scheme none --format none", "--scheme halo-1 --format fp8", "--scheme halo-2 --format int8", "--scheme halo-0 --format int8",
              "--scheme halo-0 --format fp8")],
    "kinds": [("dora r15", "", ["--adapter-kind", "dora", "--adapter-rank", "15", "--adapter-alpha", "30"]),
              ("rosa r8 0.0507", "", ["--adapter-kind", "rosa", "--adapter-rank", "8", "--adapter-alpha", "16", "--adapter-density", "0.0507"]),
              ("rosa r12 0.02535", "", ["--adapter-kind", "rosa", "--adapter-rank", "12", "--adapter-alpha", "24", "--adapter-density", "0.02535"])],
    "efqat": [(f"efqat {rows}" if rows else "all rows", base,
               base.split() + ["--learning-rate", "1e-3"] + (["--adapter-kind", "efqat", "--adapter-rows", rows, "--adapter-every", "20"] if rows else []))
              for base in ("--scheme none --format none", "--scheme halo-2 --format int8") for rows in ("0.1", "0.3", None)],
}
MERGES = ["fp32", "fp8", "int8", "int4", f"int4 --rotate --calibrate --calibration-data {data}/train.jsonl"]


def say(**row):
    line = json.dumps(row)
    print(line, flush=True)
    if results := os.environ.get("RESULTS"):
        with open(results, "a") as file:
            file.write(line + "\n")


def tensors(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        for name, entry in header.items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                file.seek(8 + size + begin)
                yield name, entry["shape"], file.read(end - begin)


def trained(run):
    """What a run leaves: parameters of its adapter, or the share of rows of linear weights that differ from the base."""
    adapter = f"{run}/adapter/adapter_model.safetensors"
    if os.path.exists(adapter):
        return dict(trained=sum(len(data) // 4 for name, _, data in tensors(adapter) if not name.endswith("places")))
    base = dict((name, data) for name, _, data in tensors(f"{model}/model.safetensors"))
    changed = rows = 0
    for name, shape, data in tensors(f"{run}/model/model.safetensors"):
        if "proj" in name:
            width = len(data) // shape[0]
            rows += shape[0]
            changed += sum(data[i:i + width] != base[name][i:i + width] for i in range(0, len(data), width))
    return dict(rows_changed=round(changed / rows, 4))


def execute(command, log, place=None):
    environment = dict(os.environ, **({} if place is None else {"CUDA_VISIBLE_DEVICES": place}))
    with open(log, "w") as file:
        return subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, timeout=run_limit, env=environment).returncode


def train(cell, seed):
    name, base, options = cell
    run = f"{folder}/{name}-{base}-{seed}".replace(" ", "").replace("--", "-")
    row = dict(kind=name, base=base or "--scheme none --format none", seed=int(seed), device="gpu" if gpus else "cpu")
    place = places.get()
    try:
        if time.monotonic() - begun > limit:
            say(**row, left_out=round(time.monotonic() - begun))
            return
        options = options if "--learning-rate" in options else options + ["--learning-rate", "5e-3"]
        at = time.monotonic()
        code = execute([halo, "train", "--model", model, "--data", f"{data}/train.jsonl", "--valid", f"{data}/valid.jsonl", "-o", run, "--seed", seed,
                        "--batch-size", batch, "--micro-batch-size", batch, "--sequence-length", tokens, "--warmup-steps", str(min(20, steps // 2)), "--threads", threads,
                        *(["--epochs", "4"] if steps == 180 else ["--steps", str(steps)]), *(["--device", "cuda"] if gpus else []), *options],
                       run + ".log", place)
        row["wall_s"] = round(time.monotonic() - at, 1)
        log = [line.strip() for line in open(run + ".log") if line.strip()]
        if code:
            say(**row, error=" ".join(log)[-500:])
            return
        lines = [json.loads(line) for line in open(f"{run}/metrics.jsonl")]
        losses = [line["loss"] for line in lines if line["kind"] == "eval"]
        updates = [line for line in lines if line["kind"] == "train"]
        times = sorted(line["milliseconds"] for line in updates)
        say(**row, before=round(losses[0], 4), after=round(losses[-1], 4), updates=len(updates), median_ms=round(times[len(times) // 2], 1),
            last_eval_ms=round(1e3 * (lines[-1]["time"] - updates[-1]["time"])), **trained(run),
            **({"said": [line for line in log if line.startswith("rosa")]} if "rosa" in name else {}))
        if "merges" in parts and seed == seeds[0] and os.path.exists(f"{run}/adapter"):
            for weights in MERGES:
                exports.submit(merge, run, name, base, weights)
    except Exception as error:  # a row tells of it, and the next run begins
        say(**row, error=str(error)[-500:])
    finally:
        places.put(place)


def merge(run, kind, base, weights):
    row = dict(merge=kind, base=base, weights=weights)
    out = f"{run}-merged-{weights.split(' --calibration')[0]}".replace(" ", "").replace("--", "-")
    try:
        if time.monotonic() - begun > limit:
            say(**row, left_out=round(time.monotonic() - begun))
            return
        at = time.monotonic()
        code = execute([halo, "export", model, "-o", out, "--adapter", f"{run}/adapter", "--merge", "--threads", threads, "--weights", *weights.split(), "--data",
                        f"{data}/valid.jsonl", "--min-agreement", "0", "--max-kl", "100", "--min-effect", "0"], out + ".log")
        if code:
            say(**row, error=open(out + ".log").read()[-500:])
            return
        report, parity = json.load(open(f"{out}/merge.json")), json.load(open(f"{out}/parity.json"))
        say(**row, wall_s=round(time.monotonic() - at, 1), effect=report["effect_that_remains"],
            losses=[round(report[f"{what}_loss"], 4) for what in ("base", "adapted", "exported")],
            change=max(layer["change"] for layer in report["layers"]), merge_error=max(layer["error"] for layer in report["layers"]),
            **{key: parity["validation"][key] for key in ("top1_agreement", "kl", "max_difference")})
    except Exception as error:
        say(**row, error=str(error)[-500:])


os.makedirs(folder, exist_ok=True)
with concurrent.futures.ThreadPoolExecutor(parallel * max(gpus, 1)) as pool, concurrent.futures.ThreadPoolExecutor(merging) as exports:
    # parts in the order named; seeds outside of cells, so that what is cut off by the limit is the last seed of each cell and not all of one cell
    list(pool.map(lambda pair: train(*pair), [(cell, seed) for part in parts if part in CELLS for seed in seeds for cell in CELLS[part]]))
