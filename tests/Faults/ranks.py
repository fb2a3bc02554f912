"""What one of three ranks meets at random moments, and the run that goes on with what stands: python3 ranks.py FOLDER TRIALS [SEED [KIND ...]].

KINDS: SIGKILL and SIGSTOP at a random time, full (each write of one rank, from a random one on, finds no space), data (one rank is given other rows). Ranks are
started by mpirun and, each other trial, as torchrun starts them, which meet by TCP; without mpirun by TCP alone. All have to end within 30 s, one message
names what happened, and the run that goes on has the losses of one left alone, to the bit. No trial begins LAST seconds after the start.
"""
import signal
from common import *

folder, trials, seed = fresh(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
kinds = sys.argv[4:] or ["SIGKILL"] * 4 + ["SIGSTOP", "full", "data"]
draw, wrong, slowest, hits = random.Random(seed), [], 0.0, {}
model(folder)
(folder / "other.jsonl").write_text("".join((folder / "rows.jsonl").read_text().splitlines(True)[1:]))
RANKS, STEPS, LIMIT = 3, 40, 30
ENVIRONMENT = dict(os.environ, NO_COLOR="1", OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
EXECUTABLE = ["dotnet", HALO] if HALO.endswith(".dll") else [HALO]
LIBRARY = shim(folder)


class Run:
    """The ranks of a run. `fault` is the rank that it is for, and variables of its environment; a list in place of arguments has those of each rank."""

    def __init__(self, arguments, by_mpi, fault=None):
        each = arguments if isinstance(arguments[0], list) else [arguments] * RANKS
        faulty, variables = fault or (None, {})
        self.by_mpi, self.text = by_mpi, ""
        self.output = open(folder / "output.txt", "w+")
        options = dict(stdout=self.output, stderr=subprocess.STDOUT)
        if by_mpi:  # a part of the command line for each rank
            command = ["mpirun", "--oversubscribe"]
            for rank in range(RANKS):
                given = [f"{name}={value}" for name, value in variables.items()] if rank == faulty else []
                command += [":"] * (rank > 0) + ["-np", "1", "env", *given, *EXECUTABLE, *each[rank]]
            self.processes = [subprocess.Popen(command, env=ENVIRONMENT, **options)]
            return
        port = draw.randrange(20_000, 30_000)
        place = dict(WORLD_SIZE=str(RANKS), LOCAL_WORLD_SIZE=str(RANKS), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
        self.processes = [subprocess.Popen([*EXECUTABLE, *each[rank]], **options,
                                           env=ENVIRONMENT | place | dict(RANK=str(rank), LOCAL_RANK=str(rank)) | (variables if rank == faulty else {}))
                          for rank in range(RANKS)]

    def ranks(self):
        """The processes of the ranks: without a launcher these, else its children."""
        if not self.by_mpi:
            return [p.pid for p in self.processes]
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                process, rest = stat.read_text().split(" (", 1)
            except OSError:  # it has ended
                continue
            name, fields = rest.rsplit(") ", 1)
            if int(fields.split()[1]) == self.processes[0].pid and name in ("dotnet", "halo"):
                found.append(int(process))
        return found

    def is_running(self):
        return all(p.poll() is None for p in self.processes)

    def end(self, seconds, but=None):
        """Exit codes of all that end in time, but of one that is stopped; what they wrote is in text."""
        until = time.time() + seconds
        left = [p for p in self.processes if p.pid != but]
        while any(p.poll() is None for p in left) and time.time() < until:
            time.sleep(0.05)
        in_time = all(p.poll() is not None for p in left)
        self.output.flush()
        self.text = (folder / "output.txt").read_text()
        return in_time, [p.returncode for p in left]

    def clear(self, ranks):
        """One that is stopped cannot end by itself."""
        for process in ranks:
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for process in self.processes:
            process.wait()


def new(run, rows="rows.jsonl"):
    arguments = [*train(folder, run, steps=STEPS, save=5), "--batch-size", "6"]
    arguments[arguments.index("--data") + 1] = f"{folder}/{rows}"
    return arguments


def updates(run):
    path = run / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    return {row["step"]: (row["loss"], row["gradient_norm"]) for row in rows if row["kind"] == "train"}


def note(trial, what):
    wrong.append((trial, what))
    print("WRONG", trial, what, flush=True)


def started(trial, kind, run, by_mpi):
    """A run with what is to happen to it, and the process that is stopped."""
    victim = draw.randrange(RANKS)
    if kind == "data":
        return Run([new(run, "other.jsonl" if rank == victim else "rows.jsonl") for rank in range(RANKS)], by_mpi), None
    if kind == "full":
        at = draw.randrange(1, operations[victim == 0])
        return Run(new(run), by_mpi, (victim, dict(LD_PRELOAD=LIBRARY, FAULT_UNDER=str(run), FAULT_AT=str(at), FAULT_KIND="full"))), None
    process = Run(new(run), by_mpi)
    time.sleep(draw.uniform(0.2, 0.95) * took)
    ranks = process.ranks()
    if not ranks or not process.is_running():
        return process, None
    hit = draw.choice(ranks)
    os.kill(hit, getattr(signal, kind))
    return process, hit if kind == "SIGSTOP" else None


has_mpi = shutil.which("mpirun") is not None
whole = folder / "whole"
began, last = time.time(), float(os.environ.get("LAST", "inf"))
process = Run(new(whole), has_mpi)
assert process.end(SECONDS)[1] == [0] * len(process.processes), process.text
took, expected = time.time() - began, updates(whole)
operations = {}
for is_first in (True, False):  # of rank 0, which writes more, and of another
    log = folder / "operations.txt"
    log.unlink(missing_ok=True)
    shutil.rmtree(folder / "run", ignore_errors=True)
    process = Run(new(folder / "run"), has_mpi, (0 if is_first else 1, dict(LD_PRELOAD=LIBRARY, FAULT_UNDER=str(folder / "run"), FAULT_LOG=str(log))))
    assert process.end(SECONDS)[1] == [0] * len(process.processes), process.text
    operations[is_first] = len(log.read_text().splitlines())
for trial in range(trials):
    if time.time() - began > last:
        trials = trial
        break
    run, kind, by_mpi = folder / "run", draw.choice(kinds), has_mpi and trial % 2 == 0
    shutil.rmtree(run, ignore_errors=True)
    begun = time.time()
    process, stopped = started(trial, kind, run, by_mpi)
    hit = time.time()
    ranks = process.ranks()
    # What happens in the course of a run is waited for as long as the run takes, and then for as long as ranks may take to end.
    in_time, codes = process.end(LIMIT + (0 if kind.startswith("SIG") else 3 * took), but=stopped)
    seconds = time.time() - hit
    process.clear(ranks)
    if not in_time:
        note(trial, (kind, f"no end within {seconds:.0f} s", process.text[-500:]))
    failed = any(code != 0 for code in codes)
    if failed:  # it came before the end of the run
        hits[kind] = hits.get(kind, 0) + 1
        if kind.startswith("SIG"):
            slowest = max(slowest, seconds)
        # mpirun gives ranks a terminal, whose keypad .NET turns on where a message begins
        errors = [line for line in process.text.replace("\x1b[?1h\x1b=", "").splitlines() if line.startswith("error")]
        if len(errors) != 1 or "rank" not in errors[0] or ": expected " not in errors[0]:
            note(trial, (kind, by_mpi, "not one message", errors or process.text[-500:]))
    elif kind == "data":
        note(trial, "other data were not noticed")
    resumes = 0
    while updates(run) != expected or not (run / "model").exists():
        again = Run(["train", "--resume", "-o", str(run)] if (run / "halo.json").exists() else new(run), by_mpi)
        _, codes = again.end(SECONDS)
        again.clear([])
        resumes += 1
        if any(codes) or resumes > 2:
            note(trial, (kind, "did not go on", again.text[-500:]))
            break
    if updates(run) != expected:
        note(trial, "other losses than those of a run left alone")
    if leftovers(run):
        note(trial, (kind, "leftovers", leftovers(run)))
print(f"ranks {RANKS}, trials {trials}, of which hit the run {hits}, wrong {len(wrong)}, slowest end after a signal {slowest:.1f} s, {time.time() - began:.0f} s, seed {seed}")
