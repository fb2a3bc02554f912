"""Loss and every gradient of small models of all families by `halo step`, beside PyTorch's: a line of JSON a model and level.
usage: family_gradients.py FIXTURES FOLDER [OPTION...]   (FIXTURES: folders with config.json, model.safetensors and expected.safetensors, as
HALO_UNPACKED=FIXTURES dotnet test --filter PackedFolderTests leaves them; FOLDER takes graphs; options of halo step, such as --device cuda; HALO names the executable; LEVELS: none halo-0 halo-1 halo-2,
rotated and not quantized, and fp8, which is halo-0 with FP8 codes and differs as such codes do; JOBS: 4 at a time; GPUS: 1, which take turns)"""
import array, concurrent.futures, json, math, os, struct, subprocess, sys

fixtures, folder, options = sys.argv[1], sys.argv[2], sys.argv[3:]
halo, levels = os.environ.get("HALO", "./halo"), os.environ.get("LEVELS", "none halo-0 halo-1 halo-2 fp8").split()
gpus = int(os.environ.get("GPUS", "1"))
MASK, SKETCHED = (1 << 64) - 1, 16
os.makedirs(folder, exist_ok=True)


def run(gpu, *words):
    environment = os.environ | ({"CUDA_VISIBLE_DEVICES": str(gpu)} if "cuda" in options else {})
    done = subprocess.run([halo, *words], capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{words[0]}: {done.stderr.strip()[-400:]}")


def read(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    return {name: array.array("f", data[slice(*(8 + size + o for o in entry["data_offsets"]))])
            for name, entry in json.loads(data[8:8 + size]).items() if entry.get("dtype") == "F32"}


def products(values):
    """With 16 rows of signs, as tests/Packing/Sketch.cs has them."""
    sums = [0.0] * SKETCHED
    for i, value in enumerate(values):
        z = (i + 1) * 0x9E3779B97F4A7C15 & MASK
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
        z ^= z >> 31
        signs = (z << 17 | z >> 47) & MASK
        for row in range(SKETCHED):
            sums[row] += -value if signs >> row & 1 else value
    return sums


def error(found, kept):
    """||found - kept|| / ||kept||; of what is kept as a sketch (its norm, then products), about that."""
    if len(kept) == SKETCHED + 1 != len(found):
        return math.sqrt(sum((a - b) ** 2 for a, b in zip(products(found), kept[1:])) / SKETCHED) / (kept[0] or 1)
    return math.sqrt(sum((a - b) ** 2 for a, b in zip(found, kept))) / (math.sqrt(sum(b * b for b in kept)) or 1)


def measure(job):
    number, (name, level) = job
    source, at, gpu = f"{fixtures}/{name}", f"{folder}/{name}-{level}", number % gpus
    try:
        expected = read(f"{source}/expected.safetensors")
        header = open(f"{source}/expected.safetensors", "rb").read()
        rows, tokens = json.loads(header[8:8 + struct.unpack("<Q", header[:8])[0]])["input_ids"]["shape"]
        run(gpu, "gradient", source, "-o", f"{at}.onnx", "--batch", str(rows), "--sequence", str(tokens))
        graph = f"{at}.onnx"
        if level != "none":
            graph = f"{at}-rewritten.onnx"
            run(gpu, "rewrite", f"{at}.onnx", "-o", graph, "--scheme", "halo-0" if level == "fp8" else level, "--format", "fp8" if level == "fp8" else "none")
        run(gpu, "step", graph, "--params", f"{source}/model.safetensors", "--batch", f"{source}/expected.safetensors", "-o", f"{at}.out", *options)
        found = read(f"{at}.out")
        errors = {key: error(found[key], expected[key]) for key in found}
        worst = max((key for key in errors if key != "loss"), key=errors.get)
        return dict(model=name, level=level, options=" ".join(options), gradients=len(errors) - 1, loss=found["loss"][0], loss_error=float(f"{errors['loss']:.1e}"),
                    worst=worst, worst_error=float(f"{errors[worst]:.1e}"))
    except (RuntimeError, OSError, KeyError, ValueError) as failure:
        return dict(model=name, level=level, options=" ".join(options), failure=str(failure))


names = sorted(n for n in os.listdir(fixtures) if os.path.exists(f"{fixtures}/{n}/expected.safetensors"))
with concurrent.futures.ProcessPoolExecutor(int(os.environ.get("JOBS", "4"))) as pool:
    for line in pool.map(measure, enumerate((name, level) for name in names for level in levels)):
        print(json.dumps(line), flush=True)
