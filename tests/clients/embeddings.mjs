// The stock OpenAI client for Node asks for vectors, with no key, at a local endpoint.
// Usage: node embeddings.mjs BASE_URL MODEL CHAT_MODEL   -> one line of JSON
import OpenAI from "openai";

const [baseURL, model, chatModel] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const input = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."];

// By itself the client asks for base64, and decodes it.
const { data, usage, model: named } = await client.embeddings.create({ model, input });
const plain = await client.embeddings.create({ model, input: input[0], encoding_format: "float" });
const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const refusal = async (asked) => {
  try {
    await asked;
  } catch (error) {
    return { status: error.status, message: error.message };
  }
};
console.log(
  JSON.stringify({
    named,
    usage,
    dimensions: data.map((item) => item.embedding.length),
    near: dot(data[0].embedding, data[1].embedding),
    far: dot(data[0].embedding, data[2].embedding),
    same: plain.data[0].embedding.every((x, i) => Math.fround(x) === Math.fround(data[0].embedding[i])),
    refused: await refusal(client.embeddings.create({ model, input, dimensions: 64 })),
    wrong: await refusal(client.embeddings.create({ model: chatModel, input })),
  }),
);
