"""Loss and every gradient of packed rows beside those of rows of their own, by `halo step`: a line of JSON.
usage: packed_gradients.py FOLDER MODEL [OPTION...]   (HALO names the executable; options of halo step, such as --device cuda; PRECISION: fp32; TOKENS of a row: 256;
ROWS of data: 16). The training graphs are those of `halo prepare`, with and without --packing documents; ids are draws, lengths are spread as those of the SQL data."""
import array, json, math, os, random, struct, subprocess, sys

folder, model, options = sys.argv[1], sys.argv[2], sys.argv[3:]
halo, precision = os.environ.get("HALO", "./halo"), os.environ.get("PRECISION", "fp32")
tokens, count = int(os.environ.get("TOKENS", "256")), int(os.environ.get("ROWS", "16"))
os.makedirs(folder, exist_ok=True)
vocabulary = json.load(open(f"{model}/config.json"))["vocab_size"]
draw = random.Random(7)
rows = [[draw.randrange(vocabulary) for _ in range(draw.randint(tokens // 5, 2 * tokens // 3))] for _ in range(count)]
learned = [[t > 0 and draw.random() < 0.6 for t in range(len(row))] for row in rows]


def run(*words):
    done = subprocess.run([halo, *words], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{words[0]}: {done.stderr[-800:]}")


def write(path, shape, tensors):
    size = 8 * shape[0] * shape[1]
    header = {name: dict(dtype="I64", shape=list(shape), data_offsets=[size * k, size * (k + 1)]) for k, name in enumerate(tensors)}
    head = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(head)) + head + b"".join(array.array("q", [v for row in rows for v in row]).tobytes() for rows in tensors.values()))


def read(path):
    data = open(path, "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    found = {}
    for name, entry in json.loads(data[8:8 + size]).items():
        values = data[slice(*(8 + size + o for o in entry.get("data_offsets", (0, 0))))]
        if entry.get("dtype") == "BF16":
            values = b"".join(b"\0\0" + values[at:at + 2] for at in range(0, len(values), 2))
        if entry.get("dtype") in ("F32", "BF16"):
            found[name] = array.array("f", values)
    return found


def error(found, expected):
    """||found - expected|| / ||expected||"""
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(found, expected))) / max(math.sqrt(math.fsum(b * b for b in expected)), 1e-30)


def bins():
    """First fit, the longest first."""
    made = []
    for i in sorted(range(count), key=lambda i: -len(rows[i])):
        place = next((b for b in made if sum(len(rows[j]) for j in b) + len(rows[i]) <= tokens), None)
        if place is None:
            made.append(place := [])
        place.append(i)
    return made


def step(name, documents):
    """documents: of each row of the graph, the rows of data in it."""
    ids, mask, labels, positions, document = ([[value] * tokens for _ in documents] for value in (0, 0, -100, 0, 0))
    for b, inside in enumerate(documents):
        at = 0
        positions[b][:] = range(tokens)
        for number, i in enumerate(inside):
            part = slice(at, at + len(rows[i]))
            ids[b][part], mask[b][part], document[b][part], positions[b][part] = rows[i], [1] * len(rows[i]), [number] * len(rows[i]), range(len(rows[i]))
            labels[b][part] = [row if counts else -100 for row, counts in zip(rows[i], learned[i])]
            at += len(rows[i])
        document[b][at:] = [len(inside)] * (tokens - at)
    packed = name == "packed"
    run("prepare", "--model", model, "-o", f"{folder}/{name}", "--micro-batch-size", str(len(documents)), "--sequence-length", str(tokens), "--precision", precision,
        *(["--packing", "documents"] if packed else []))
    write(f"{folder}/{name}.batch", (len(documents), tokens), dict(input_ids=ids, attention_mask=mask, labels=labels) | (dict(position_ids=positions, document_ids=document) if packed else {}))
    run("step", f"{folder}/{name}/training_model.onnx", "--params", f"{model}/model.safetensors", "--batch", f"{folder}/{name}.batch", "-o", f"{folder}/{name}.out", *options)
    return read(f"{folder}/{name}.out")


together = bins()
apart, packed = step("apart", [[i] for i in range(count)]), step("packed", together)
errors = {name: error(packed[name], apart[name]) for name in apart}
worst = max((name for name in errors if name != "loss"), key=errors.get)
print(json.dumps(dict(options=" ".join(options), precision=precision, rows=count, graph_rows=len(together), tokens=tokens, loss=apart["loss"][0],
                      loss_error=float(f"{errors['loss']:.2e}"), gradients=len(errors) - 1, worst=worst, worst_error=float(f"{errors[worst]:.2e}"))))
