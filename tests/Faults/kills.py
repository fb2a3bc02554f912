"""Kills train, prepare, export and rewrite at their writes, each start anew, and looks at what stands: python3 kills.py FOLDER KILLS [SEED]"""
import sys
from common import *

folder, kills, seed = fresh(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
draw, library = random.Random(seed), shim(folder)
model(folder)
place = folder / "place"
done, wrong = {}, []


def graph(name, scheme):
    code, text, _ = halo(["gradient", f"{folder}/model", "-o", f"{folder}/{name}.onnx", "--batch", "2", "--sequence", "16"])
    assert code == 0, text


graph("training", "none")
OUTPUTS = {  # verb: what stood there before, what is written over it
    "prepare": [["prepare", "--model", f"{folder}/model", "--micro-batch-size", "2", "--sequence-length", "16", "--scheme", s, "--format", f]
                for s, f in (("none", "none"), ("halo-1", "fp8"))],
    "export": [["export", f"{folder}/model", "--prompts", "0", "--weights", w] for w in ("fp32", "int8")],
    "rewrite": [["rewrite", f"{folder}/training.onnx", "--pipeline", p] for p in ("remove-dead-code", "fold-constants")],
}


def note(verb, kind, at, what):
    wrong.append((verb, kind, at, what))
    print("WRONG", verb, kind, at, what, flush=True)


def replace(verb, limit):
    """One output over another, killed again and again until it gets through."""
    old, new = OUTPUTS[verb]
    target = fresh(place) / "out"
    assert halo([*old, "-o", str(target)])[0] == 0
    before = content(target)
    count = operations([*new, "-o", str(target)], library, place)
    after = content(target)
    assert after != before
    while done.get(verb, 0) < limit:
        fresh(place)
        assert halo([*old, "-o", str(target)])[0] == 0
        while done.get(verb, 0) < limit:
            kind, at = draw.choice(["kill", "after", "half"]), draw.randint(1, count)
            code, text, _ = halo([*new, "-o", str(target)], (library, place, at, kind))
            done[verb] = done.get(verb, 0) + 1
            if content(target) not in (before, after):
                note(verb, kind, at, "neither the old output nor the new one")
            if code == 0:
                break
            if code != -9:
                note(verb, kind, at, text)
        code, text, _ = halo([*new, "-o", str(target)])
        if code != 0 or content(target) != after or leftovers(place):
            note(verb, "last", 0, (code, text, leftovers(place)))


def runs(limit):
    run = fresh(place) / "run"
    count = operations(train(folder, run), library, place)
    expected = trained(run)
    while done.get("train", 0) < limit:
        fresh(place)
        if draw.random() < 0.5:
            run.mkdir()  # where the folder is there already, a run begins in another way
        while done.get("train", 0) < limit:
            again = (run / "halo.json").exists()
            kind, at = draw.choice(["kill", "after", "half"]), draw.randint(1, count)
            code, text, _ = halo(["train", "--resume", "-o", str(run)] if again else train(folder, run), (library, place, at, kind))
            done["train"] = done.get("train", 0) + 1
            if code == 0:
                break
            if code != -9:
                note("train", kind, at, text)
                break
        code, text, _ = halo(["train", "--resume", "-o", str(run)] if (run / "halo.json").exists() else train(folder, run))
        if code != 0 or trained(run) != expected or leftovers(place):
            note("train", "last", 0, (code, text[-400:], leftovers(place), [f == e for f, e in zip(trained(run), expected)]))


started = time.monotonic()
runs(kills // 2)
for verb in OUTPUTS:
    replace(verb, kills // 6)
print(f"kills {sum(done.values())} ({', '.join(f'{v} {n}' for v, n in done.items())}), wrong {len(wrong)}, {time.monotonic() - started:.0f} s, seed {seed}")
sys.exit(1 if wrong else 0)
