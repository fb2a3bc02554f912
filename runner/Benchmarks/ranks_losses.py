#!/usr/bin/env python3
"""Losses of runs that N ranks share against one rank's, in every mode: python3 ranks_losses.py FOLDER [tcp|mpi]. A line of JSON a run; exit code 1 where
one is more than 1e-5 off. In float32, on the CPU.

Six updates of 12 rows of the bundled model in micro-batches of 2, so that ranks run several, and not as many each; validated before, after three, and behind.
Worst: the largest relative difference of a loss, a gradient norm or a validation loss. HALO names the executable; JOBS runs at a time (1). Ranks of two machines are told that they are.
"""
import concurrent.futures
import itertools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
HALO = os.environ.get("HALO", os.path.join(ROOT, "halo"))
MODEL, DATA = os.environ.get("MODEL", os.path.join(ROOT, "models", "llama-tiny")), os.path.join(ROOT, "runner", "Data", "sql")
BOUND, PORTS = 1e-5, itertools.count(random.randrange(20_000, 29_000), 4)
folder, launcher = os.path.abspath(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "tcp"


def train(name, ranks, nodes, **settings):
    """The numbers that a run logs."""
    out = os.path.join(folder, name)
    shutil.rmtree(out, ignore_errors=True)
    command = ["dotnet", HALO] if HALO.endswith(".dll") else [HALO]
    settings = dict(model=MODEL, data=f"{DATA}/train.jsonl", valid=os.path.join(folder, "valid.jsonl"), output=out, steps=6, batch_size=12, micro_batch_size=2,
                    sequence_length=64, eval_every=3, learning_rate=1e-3, clip_norm=1, threads=1) | settings
    command += ["train", *(word for key, value in settings.items() for word in ("--" + key.replace("_", "-"), str(value)))]
    port = next(PORTS)
    with tempfile.TemporaryFile("w+") as log:
        def start(command, **variables):
            return subprocess.Popen(command, env=dict(os.environ, **variables), stdout=log, stderr=log)
        if ranks == 1:
            processes = [start(command)]
        elif launcher == "mpi":
            processes = [start(["mpirun", "-np", str(ranks), "--oversubscribe", *command], OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")]
        else:
            local = ranks // nodes
            processes = [start(command, RANK=str(rank), WORLD_SIZE=str(ranks), LOCAL_RANK=str(rank % local), LOCAL_WORLD_SIZE=str(local),
                               MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port)) for rank in range(ranks)]
        codes = [process.wait() for process in processes]
        if any(codes):
            log.seek(0)
            raise RuntimeError(f"{name}: {log.read()[-2000:]}")
    with open(os.path.join(out, "metrics.jsonl")) as rows:
        return [number for row in map(json.loads, rows) for number in (row["loss"], row.get("gradient_norm")) if number is not None]


def main():
    os.makedirs(folder, exist_ok=True)
    with open(f"{DATA}/valid.jsonl") as rows, open(os.path.join(folder, "valid.jsonl"), "w") as out:
        out.writelines([next(rows) for _ in range(5)])
    runs = [(mode, ranks, 1, "plain") for mode in ("full", "state", "none") for ranks in (2, 3, 4)]
    runs += [("hybrid", 4, 2, "plain"), ("hybrid", 2, 2, "plain")] if launcher == "tcp" else [("hybrid", 4, 1, "plain")]
    variants = {"plain": {}, "recompute layers": dict(recompute="layer"), "one micro-batch a rank": dict(micro_batch_size=4)}
    runs += [(mode, 3, 1, variant) for variant in list(variants)[1:] for mode in ("full", "state")]
    worst_of_all = 0.0
    with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("JOBS", "1"))) as pool:
        alone = {variant: pool.submit(train, f"one, {variant}", 1, 1, **settings) for variant, settings in variants.items()}
        many = [pool.submit(train, f"{mode}, {ranks} on {nodes}, {variant}", ranks, nodes, shard=mode, **variants[variant]) for mode, ranks, nodes, variant in runs]
        for (mode, ranks, nodes, variant), run in zip(runs, many):
            try:
                one, found = alone[variant].result(), run.result()
            except RuntimeError as error:
                worst_of_all = BOUND + 1
                print(json.dumps(dict(mode=mode, ranks=ranks, machines=nodes, by=launcher, variant=variant, error=str(error))), flush=True)
                continue
            assert len(found) == len(one)
            worst = max(abs(b / a - 1) for a, b in zip(one, found))
            worst_of_all = max(worst, worst_of_all)
            print(json.dumps(dict(mode=mode, ranks=ranks, machines=nodes, by=launcher, variant=variant, numbers=len(found), worst=float(f"{worst:.1e}"))),
                  flush=True)
    sys.exit(int(worst_of_all > BOUND))


main()
