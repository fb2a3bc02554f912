"""Power loss in the middle of training: ext4 on a loop file, shut down so that what was not synced is lost. As root: python3 power.py FOLDER TRIALS [SEED]"""
import fcntl
from common import *

SHUTDOWN, WITHOUT_LOG = 0x8004587D, 2  # EXT4_IOC_SHUTDOWN, EXT4_GOING_FLAGS_NOLOGFLUSH [linux/fs/ext4/ext4.h]
folder, trials, seed = fresh(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
draw = random.Random(seed)
model(folder)
disk, mount = folder / "disk.img", fresh(folder / "mount")
STEPS = int(os.environ.get("STEPS", "200"))


def training(run):
    return train(folder, run, steps=STEPS, save=2)


code, text, whole = halo(training(folder / "whole"))
assert code == 0, text
expected = trained(folder / "whole")
wrong, stages, started = 0, {}, time.monotonic()
for trial in range(trials):
    with open(disk, "wb") as image:
        image.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", disk], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mount], check=True)
    run = mount / "run"
    process = subprocess.Popen(command(training(run)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    awaited = run / "checkpoints/step-00000002" if draw.random() < 0.8 else run  # four fifths fall between two checkpoints
    while not awaited.exists() and process.poll() is None:
        time.sleep(0.005)
    time.sleep(draw.random() * float(os.environ.get("WITHIN", whole * 0.5)))
    handle = os.open(mount, os.O_RDONLY)
    fcntl.ioctl(handle, SHUTDOWN, struct.pack("I", WITHOUT_LOG))
    os.close(handle)
    process.kill()
    process.wait()
    subprocess.run(["umount", mount], check=True)
    subprocess.run(["mount", "-o", "loop", disk, mount], check=True)
    marked = (run / "halo.json").exists()
    kept = sorted(p.name for p in (run / "checkpoints").glob("step-*")) if (run / "checkpoints").exists() else []
    stage = f"from {kept[-1]}" if kept else "run" if marked else "nothing"
    code, text, _ = halo(["train", "--resume", "-o", str(run)] if marked else training(run))
    right = code == 0 and trained(run) == expected and not leftovers(run) and "missing" not in text
    wrong += not right
    stages[stage] = stages.get(stage, 0) + 1
    print(trial, stage, "right" if right else ("WRONG", code, text[-800:], leftovers(run)), flush=True)
    subprocess.run(["umount", mount], check=True)
print(f"power losses {trials}, wrong {wrong}, {time.monotonic() - started:.0f} s, seed {seed}; what was there: {dict(sorted(stages.items()))}")
sys.exit(1 if wrong else 0)
