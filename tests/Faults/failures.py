"""Lets each n-th operation fail in turn (EIO, ENOSPC, EROFS, EDQUOT, a short write, a disk full from then on): python3 failures.py FOLDER [TRIALS] [SEED]

Where a verb says that it failed, what stood before stands; where it says that it is done, all is there. Exit codes 0, 1 and 2, one message, no stack trace.
"""
from common import *

folder, trials, seed = fresh(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 10**9, int(sys.argv[3]) if len(sys.argv) > 3 else 1
draw, library = random.Random(seed), shim(folder)
model(folder)
place, kept = folder / "place", folder / "kept"
KINDS = ["eio", "enospc", "erofs", "edquot", "short", "full"]
assert halo(["gradient", f"{folder}/model", "-o", f"{folder}/training.onnx", "--batch", "2", "--sequence", "16"])[0] == 0
prepare = ["prepare", "--model", f"{folder}/model", "--micro-batch-size", "2", "--sequence-length", "16", "-o", f"{place}/out"]
export = ["export", f"{folder}/model", "--prompts", "0", "-o", f"{place}/out"]
rewrite = ["rewrite", f"{folder}/training.onnx", "-o", f"{place}/out"]
gradient = ["gradient", f"{folder}/training.onnx", "-o", f"{place}/out.onnx", "--batch", "2", "--sequence", "16"]
VERBS = {
    "prepare": ([*prepare], [*prepare, "--scheme", "halo-1", "--format", "fp8"]),
    "export": ([*export], [*export, "--weights", "int8"]),
    "export-hf": ([*export, "--to", "hf"], [*export, "--to", "hf", "--weights", "bf16"]),
    "rewrite": ([*rewrite, "--pipeline", "remove-dead-code"], [*rewrite, "--pipeline", "fold-constants"]),
    "train": (None, train(folder, place / "run", steps=3)),
}
counts, wrong, slowest = {}, [], 0.0


def note(verb, kind, at, what):
    wrong.append((verb, kind, at))
    print("WRONG", verb, kind, at, what, flush=True)


def restore():
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(kept, place, symlinks=True)


plan = []
for verb, (old, new) in VERBS.items():
    fresh(place)
    if old:
        assert halo(old)[0] == 0
    shutil.rmtree(folder / f"kept-{verb}", ignore_errors=True)
    shutil.copytree(place, folder / f"kept-{verb}")
    before = content(place / "out")
    count = operations(new, library, place)
    after = trained(place / "run") if verb == "train" else content(place / "out")
    plan += [(verb, kind, at, before, after) for kind in KINDS for at in range(1, count + 1)]
    print(verb, count, "operations", flush=True)
draw.shuffle(plan)
started = time.monotonic()
for verb, kind, at, before, after in plan[:trials]:
    kept = folder / f"kept-{verb}"
    restore()
    arguments = VERBS[verb][1]
    code, text, seconds = halo(arguments, (library, place, at, kind))
    counts[verb] = counts.get(verb, 0) + 1
    slowest = max(slowest, seconds)
    if code not in (0, 2) or (code == 2 and odd(text)):
        note(verb, kind, at, (code, text[-600:]))
    if verb == "train":
        run = place / "run"
        if code != 0 or leftovers(place):
            again = ["train", "--resume", "-o", str(run)] if (run / "halo.json").exists() else arguments
            code, text, _ = halo(again)
        if code != 0 or trained(run) != after or leftovers(place):
            note(verb, kind, at, ("afterwards", code, text[-600:], leftovers(place)))
        continue
    found = content(place / "out")
    if found != after if code == 0 else found not in (before, after):
        note(verb, kind, at, ("what stands", code, text[-600:]))
    if leftovers(place):  # where removing them failed too, the next writing does it
        if halo(arguments)[0] != 0 or leftovers(place) or content(place / "out") != after:
            note(verb, kind, at, ("leftovers", leftovers(place)))
print(f"failures {sum(counts.values())} of {len(plan)} ({', '.join(f'{v} {n}' for v, n in counts.items())}), wrong {len(wrong)}, slowest {slowest:.1f} s, "
      f"{time.monotonic() - started:.0f} s, seed {seed}")
sys.exit(1 if wrong else 0)
