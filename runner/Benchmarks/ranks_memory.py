#!/usr/bin/env python3
"""Memory of a rank by how many ranks share a run on CPUs, measured: ranks_memory.py OUT [SHAPE [RANKS ...]]

Ranks are processes of mpirun; a model of SHAPE (step.py's: layers, width, ffn, heads, kv heads, vocabulary, tied) of random weights, one row of 64 tokens a rank,
float32, so that parameters, gradients and moments (16 bytes a parameter) are nearly all that training adds to a process. A line of JSON for each number of
ranks and way to split, MiB: `planned`, of rank 0 by `halo plan`; `most`, the most anonymous memory that each rank had, the runtime's own included (looked up
every 20 ms); `resident`, the same with pages of files that it has mapped, such as the checkpoint that it reads, which the system takes back. Then what the most
of rank 0 falls by from one number of ranks to the next, beside what its share of 16 bytes a parameter falls by. HALO names the executable.
"""
import glob
import json
import os
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
HALO = os.environ.get("HALO", os.path.join(HERE, "..", "..", "halo"))
COMMAND = ["dotnet", HALO] if HALO.endswith(".dll") else [HALO]
ALIKE = ["--sequence-length", "64", "--micro-batch-size", "1"]


def processes(first):
    """A process and those that it has started."""
    found = [first]
    for process in found:
        for children in glob.glob(f"/proc/{process}/task/*/children"):
            try:
                found += [int(child) for child in open(children).read().split()]
            except OSError:  # it has ended
                pass
    return found


def memory_of(process, kind):
    try:
        return next((int(line.split()[1]) for line in open(f"/proc/{process}/status") if line.startswith(kind)), 0)
    except OSError:
        return 0


if sys.argv[1] == "--rank":  # one rank: what it is to do, and the most that it took
    run, most = subprocess.Popen(sys.argv[3:], stdout=subprocess.DEVNULL), {"RssAnon:": 0, "VmRSS:": 0}
    while run.poll() is None:
        for kind in most:
            most[kind] = max(most[kind], sum(memory_of(process, kind) for process in processes(run.pid)))
        time.sleep(0.02)
    with open(f"{sys.argv[2]}.{os.environ.get('OMPI_COMM_WORLD_RANK', '0')}", "w") as f:
        json.dump(most, f)
    sys.exit(run.returncode)

out, shape = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "12,512,2048,8,8,2048,1"
counts = [int(n) for n in sys.argv[3:]] or [1, 2, 3, 4]
os.makedirs(out, exist_ok=True)
model = os.path.join(out, "model")
environment = dict(os.environ, ROWS="32", CHARACTERS="2000", NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
if not os.path.exists(model):
    subprocess.run([sys.executable, os.path.join(HERE, "Step", "step.py"), "folder", model, shape], env=environment, check=True)
layers, width, ffn, heads, kv, vocabulary, _ = map(int, shape.split(","))
parameters = vocabulary * width + layers * (2 * width * width + 2 * width * (width // heads * kv) + 3 * width * ffn + 2 * width) + width


def planned(ranks, shard):
    text = subprocess.run([*COMMAND, "plan", "--model", model, *ALIKE, "--ranks", str(ranks), "--shard", shard, "--json"], env=environment,
                          capture_output=True, text=True, check=True).stdout
    return json.loads(text)["peak_bytes"] / 2**20


def measured(ranks, shard):
    run, memory = os.path.join(out, f"run-{ranks}-{shard}"), os.path.join(out, "memory")
    subprocess.run(["rm", "-rf", run, *(f"{memory}.{r}" for r in range(ranks))], check=True)
    subprocess.run(["mpirun", "-np", str(ranks), "--oversubscribe", sys.executable, __file__, "--rank", memory, *COMMAND, "train", "--model", model, "--data",
                    os.path.join(model, "rows.jsonl"), "-o", run, *ALIKE, "--threads", "1", "--batch-size", str(ranks), "--steps", "3", "--learning-rate", "1e-5", "--rank-timeout",
                    "600", "--shard", shard], env=environment, check=True)
    most = [json.load(open(f"{memory}.{r}")) for r in range(ranks)]
    return {"most": [round(m["RssAnon:"] / 1024) for m in most], "resident": [round(m["VmRSS:"] / 1024) for m in most]}


rows = []
for shard in ("full", "state"):
    for ranks in counts:
        if ranks == 1 and shard != "full":
            continue
        rows.append({"ranks": ranks, "shard": shard, "parameters": parameters, "planned": round(planned(ranks, shard)), **measured(ranks, shard)})
        print(json.dumps(rows[-1]), flush=True)
full = [row for row in rows if row["shard"] == "full"]
for a, b in zip(full, full[1:]):
    share = 16 * parameters / 2**20 * (1 / a["ranks"] - 1 / b["ranks"])
    print(json.dumps({"from": a["ranks"], "to": b["ranks"], "planned_falls": a["planned"] - b["planned"], "most_falls": a["most"][0] - b["most"][0],
                      "16_bytes_a_parameter_fall": round(share)}), flush=True)
