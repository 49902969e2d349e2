// The stock OpenAI client for Node, with no key, against a local endpoint.
// Usage: node openai.mjs BASE_URL MODEL   -> one line of JSON
import OpenAI from "openai";

const [baseURL, model] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const messages = [{ role: "user", content: "What is the capital of France? Answer in one word." }];
const settings = { model, messages, temperature: 0, max_tokens: 16 };

const models = (await client.models.list()).data.map((entry) => entry.id);
const whole = await client.chat.completions.create(settings);
let streamed = "";
let finish = null;
let usage = null;
const stream = await client.chat.completions.create({
  ...settings,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) {
  streamed += chunk.choices[0]?.delta?.content ?? "";
  finish = chunk.choices[0]?.finish_reason ?? finish;
  usage = chunk.usage ?? usage;
}
const completion = await client.completions.create({
  model,
  prompt: "Once upon a time",
  temperature: 0.7,
  top_p: 0.9,
  seed: 7,
  max_tokens: 8,
});
let refused = null;
try {
  await client.chat.completions.create({ ...settings, model: "no-such-model" });
} catch (error) {
  refused = { name: error.constructor.name, status: error.status, code: error.code };
}
console.log(
  JSON.stringify({
    models,
    whole: whole.choices[0].message.content,
    usage: whole.usage,
    streamed,
    finish,
    streamedUsage: usage,
    completion: completion.choices[0].text,
    refused,
  }),
);
