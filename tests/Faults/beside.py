"""Reads a run while it is trained, in turns by eval, export and generate: python3 beside.py FOLDER READS"""
from common import *

folder, reads = fresh(sys.argv[1]), int(sys.argv[2])
model(folder)
STEPS, READERS = int(os.environ.get("STEPS", "4000")), 2
arguments = [a if a != "6" else str(STEPS) for a in train(folder, "RUN", save=1)]
count, failed, started, rounds = 0, [], time.monotonic(), 0


def alone():
    run = folder / "alone"
    code, text, _ = halo([str(run) if a == "RUN" else a for a in arguments])
    assert code == 0, text
    return trained(run)


expected = alone()
while count < reads:
    rounds += 1
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    trainer = subprocess.Popen(command([str(run) if a == "RUN" else a for a in arguments]), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not (run / "halo.json").exists() and trainer.poll() is None:
        time.sleep(0.01)
    output = []
    import threading
    drain = threading.Thread(target=lambda: output.extend(trainer.stdout))
    drain.start()
    while trainer.poll() is None and count < reads:
        verb = [["eval", "--model", str(run), "--data", f"{folder}/rows.jsonl"], ["generate", str(run), "--prompt", "1", "--max-tokens", "2"],
                ["export", str(run), "-o", f"{folder}/out", "--prompts", "0"], ["inspect", f"{run}/artifact/training_model.onnx"]][count % 4]
        code, text, _ = halo(verb)
        count += 1
        if code != 0 and "whose artifact is written" not in text and "no such file" not in text:
            failed.append((verb[0], code, text[-400:]))
            print("WRONG", failed[-1], flush=True)
    trainer.wait()
    drain.join()
    if trainer.returncode != 0 or trained(run) != expected or leftovers(run):
        failed.append(("train", trainer.returncode, "".join(output)[-400:]))
        print("WRONG", failed[-1], flush=True)
print(f"reads {count} beside {rounds} trainers, wrong {len(failed)}, {time.monotonic() - started:.0f} s")
sys.exit(1 if failed else 0)
