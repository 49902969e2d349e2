// Measures llama.cpp, as npm's node-llama-cpp carries it, and prints one line of JSON:
//   node llama.mjs MODEL.gguf IDS.json THREADS REPETITIONS
// prefill: 256 ids up to the first token; decode: 100 tokens, the first not counted, after 28 ids.
import { readFileSync } from "node:fs";
import { getLlama, getModuleVersion } from "node-llama-cpp";

const PREFILL = 256, PROMPT = 28, DECODE = 100;
const [modelPath, idsPath, threads, repetitions] = process.argv.slice(2);
const ids = JSON.parse(readFileSync(idsPath));

// The packaged binary picks the kernels of this CPU itself; nothing is compiled or downloaded.
const llama = await getLlama({
  gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: Number(threads),
});
const model = await llama.loadModel({ modelPath });
const context = await model.createContext({
  contextSize: 512, batchSize: 512, sequences: 1, threads: Number(threads),
});
const sequence = context.getSequence();

// Seconds to the first token and to the last of `count`.
async function generate(prompt, count) {
  await sequence.clearHistory();
  const start = performance.now();
  let first, last, seen = 0;
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    last = performance.now();
    first ??= last;
    if (++seen === count) break;
  }
  if (seen !== count) throw new Error(`stopped after ${seen} tokens`);
  return [(first - start) / 1000, (last - start) / 1000];
}

await generate(ids.slice(0, PROMPT), 1); // pages the weights in
const prefill = [], decode = [];
for (let i = 0; i < Number(repetitions); i++) {
  const [first] = await generate(ids.slice(0, PREFILL), 1);
  prefill.push(PREFILL / first);
  const [one, all] = await generate(ids.slice(0, PROMPT), DECODE);
  decode.push((DECODE - 1) / (all - one));
}
const name = `node-llama-cpp ${await getModuleVersion()} (llama.cpp ${llama.llamaCppRelease.release})`;
console.log(JSON.stringify({ name, prefill, decode }));
await llama.dispose();
