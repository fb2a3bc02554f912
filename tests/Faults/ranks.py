"""Kills or stops one rank of a run at random moments, and goes on with it: python3 ranks.py FOLDER TRIALS [SEED]. Needs mpirun."""
import signal
from common import *

folder, trials, seed = fresh(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
draw, wrong, slowest, hits = random.Random(seed), [], 0.0, {}
model(folder)
RANKS, STEPS, LIMIT = 3, 40, 30
ENVIRONMENT = dict(os.environ, NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")


def launch(arguments, ranks=RANKS):
    return subprocess.Popen(["mpirun", "-np", str(ranks), "--oversubscribe", *(["dotnet", HALO] if HALO.endswith(".dll") else [HALO]), *arguments], env=ENVIRONMENT, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def new(run):
    return [*train(folder, run, steps=STEPS, save=5), "--batch-size", "6"]


def updates(run):
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {row["step"]: (row["loss"], row["gradient_norm"]) for row in rows if row["kind"] == "train"}


def ranks_of(process):
    """The processes of the ranks: children of mpirun."""
    found = subprocess.run(["ps", "-o", "pid=,comm=", "--ppid", str(process.pid)], capture_output=True, text=True).stdout
    return [int(line.split()[0]) for line in found.splitlines() if line.split()[1] in ("dotnet", "halo")]


def note(trial, what):
    wrong.append((trial, what))
    print("WRONG", trial, what, flush=True)


whole = folder / "whole"
began = time.time()
process = launch(new(whole))
text = process.communicate()[0]
assert process.returncode == 0, text
took, expected = time.time() - began, updates(whole)
for trial in range(trials):
    run, kind = folder / "run", draw.choice([signal.SIGKILL] * 4 + [signal.SIGSTOP])
    shutil.rmtree(run, ignore_errors=True)
    process = launch(new(run))
    time.sleep(draw.uniform(0.2, 0.95) * took)
    ranks = ranks_of(process)
    if ranks and process.poll() is None:
        victim, hit = draw.choice(ranks), time.time()
        os.kill(victim, kind)
        try:
            text = process.communicate(timeout=2 * LIMIT)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            note(trial, "no end")
        seconds = time.time() - hit
        if process.returncode != 0:  # it came before the end of the run
            hits[kind.name] = hits.get(kind.name, 0) + 1
        slowest = max(slowest, seconds)
        if seconds > LIMIT:
            note(trial, f"{kind.name}: ended after {seconds:.0f} s")
        if process.returncode != 0 and "rank" not in text.lower():
            note(trial, ("no rank in the message", text[-500:]))
        for left in ranks:  # a stopped one cannot end by itself
            try:
                os.kill(left, signal.SIGKILL)
            except ProcessLookupError:
                pass
    process.wait()
    resumes = 0
    while updates(run) != expected or not (run / "model").exists():
        again = launch(["train", "--resume", "-o", str(run)] if (run / "halo.json").exists() else new(run))
        text = again.communicate(timeout=SECONDS)[0]
        resumes += 1
        if again.returncode != 0 or resumes > 2:
            note(trial, ("did not go on", text[-500:]))
            break
    if updates(run) != expected:
        note(trial, "other losses than those of a run left alone")
print(f"ranks {RANKS}, trials {trials}, of which hit the run {hits}, wrong {len(wrong)}, slowest end {slowest:.1f} s, {time.time() - began:.0f} s, seed {seed}")
