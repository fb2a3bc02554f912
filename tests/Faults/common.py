"""What the campaigns share: a model of seconds, the executable, and what is left in a folder."""
import hashlib, json, os, random, shutil, struct, subprocess, sys, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
HALO = os.environ.get("HALO", str(REPOSITORY / "tests/bin/Debug/net10.0/halo.dll"))
SECONDS = int(os.environ.get("HALO_SECONDS", "300"))  # no trial takes longer


def shim(folder):
    """faults.c as a library."""
    library = Path(folder) / "faults.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-Wall", "-o", library, HERE / "faults.c", "-ldl"], check=True)
    return str(library)


def model(folder):
    """A Hugging Face folder of one layer over the 256 bytes, and rows of chat for it."""
    folder = Path(folder)
    (folder / "model").mkdir(parents=True)
    size, inner, layers = 32, 64, 1
    shapes = {"model.embed_tokens.weight": [256, size]}
    for layer in range(layers):
        for name, shape in {"self_attn.q_proj": [size, size], "self_attn.k_proj": [size, size], "self_attn.v_proj": [size, size],
                            "self_attn.o_proj": [size, size], "mlp.gate_proj": [inner, size], "mlp.up_proj": [inner, size],
                            "mlp.down_proj": [size, inner], "input_layernorm": [size], "post_attention_layernorm": [size]}.items():
            shapes[f"model.layers.{layer}.{name}.weight"] = shape
    shapes |= {"model.norm.weight": [size], "lm_head.weight": [256, size]}
    draw, header, data = random.Random(1), {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(1.0 if len(shape) == 1 else draw.gauss(0, 0.05) for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    text = json.dumps(header).encode()
    (folder / "model/model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    (folder / "model/config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": size, "intermediate_size": inner, "num_hidden_layers": layers,
        "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": False, "torch_dtype": "float32", "bos_token_id": 0, "eos_token_id": 1}))
    tokenizer = json.loads((REPOSITORY / "models/llama-tiny/tokenizer.json").read_text())
    tokenizer["added_tokens"], tokenizer["post_processor"], tokenizer["model"]["merges"] = [], None, []
    tokenizer["model"]["vocab"] = {symbol: n for n, symbol in enumerate(sorted(s for s in tokenizer["model"]["vocab"] if len(s) == 1))}
    (folder / "model/tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "model/tokenizer_config.json").write_text(json.dumps({
        "chat_template": "{%- for m in messages %}{{- '>' + m['content'] + '\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '>' }}{%- endif %}"}))
    rows = [{"messages": [{"role": "user", "content": f"{i}?"}, {"role": "assistant", "content": f"{i * 7 % 10}!"}]} for i in range(12)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def train(folder, run, steps=6, save=1):
    return ["train", "--model", f"{folder}/model", "--data", f"{folder}/rows.jsonl", "-o", str(run), "--steps", str(steps), "--save-every", str(save),
            "--learning-rate", "1e-3", "--micro-batch-size", "2", "--sequence-length", "16", "--threads", "1", "--scheme", "halo-0", "--format", "int8"]


def command(arguments):
    """The command line: HALO is halo.dll, or a published executable, whose trials take half the time."""
    return ["nice", "-n", os.environ.get("NICE", "19"), *(["dotnet", HALO] if HALO.endswith(".dll") else [HALO]), *arguments]


def halo(arguments, fault=None, log=None):
    """Runs it; a fault is (library, folder, at, kind). Returns exit code, output and seconds."""
    environment = dict(os.environ, NO_COLOR="1", DOTNET_TieredPGO="0", DOTNET_TieredCompilation="1")
    if fault:
        library, under, at, kind = fault
        environment |= {"LD_PRELOAD": library, "FAULT_UNDER": str(under), "FAULT_AT": str(at), "FAULT_KIND": kind}
        if log:
            environment["FAULT_LOG"] = str(log)
    started = time.monotonic()
    done = subprocess.run(command(arguments), env=environment, capture_output=True, text=True, timeout=SECONDS)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - started


def operations(arguments, library, under):
    """How many operations under a folder a run that succeeds has."""
    log = Path(str(under) + ".log")
    log.unlink(missing_ok=True)
    code, text, _ = halo(arguments, (library, under, 0, ""), log)
    assert code == 0, text
    count = len(log.read_text().splitlines())
    return count


def content(path):
    """A digest of a file, or of all names and files of a folder; None where there is nothing. What tells one run from the next is left out."""
    path = Path(path)
    if not path.exists():
        return None
    digest = hashlib.sha256()
    for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
        digest.update(str(file.relative_to(path)).encode() + (file.read_bytes() if file.is_file() else b"/"))
    return digest.hexdigest()


def leftovers(folder):
    return [str(p) for p in Path(folder).rglob(".*") if ".partial" in p.name]


def updates(run):
    rows = [json.loads(line) for line in (Path(run) / "metrics.jsonl").read_text().splitlines()]
    return [(r["step"], r["kind"], r["loss"], r.get("gradient_norm")) for r in rows]


def trained(run):
    """What of a finished run must not depend on what it went through: model, last checkpoint, losses."""
    last = sorted((Path(run) / "checkpoints").glob("step-*"))
    return content(Path(run) / "model"), [s.name for s in last], content(last[-1]), updates(run)


def fresh(path):
    shutil.rmtree(path, ignore_errors=True)
    Path(path).mkdir(parents=True)
    return Path(path)


def odd(text):
    """A stack trace, or an error that is not one line of the usual form."""
    errors = [line for line in text.splitlines() if line.startswith("error")]
    return "   at " in text or "Unhandled" in text or len(errors) != 1 or ": expected " not in errors[0]
