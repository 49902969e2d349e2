"""The stock OpenAI client for Python asks for vectors, with no key, at a local endpoint.

Usage: python embeddings_client.py BASE_URL MODEL CHAT_MODEL   -> one line of JSON
"""

import json
import struct
import sys

import openai

base_url, model, chat_model = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
texts = ["A cat sits on the mat.", "A kitten rests on a rug.", "Interest rates rose again."]


def refusal(**settings):
    try:
        client.embeddings.create(**settings)
    except openai.APIStatusError as error:
        return {"status": error.status_code, "message": str(error)}


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def rounded(vector):
    return struct.pack(f"{len(vector)}f", *vector)


# By itself the client asks for base64, and decodes it.
answer = client.embeddings.create(model=model, input=texts)
vectors = [item.embedding for item in answer.data]
plain = client.embeddings.create(model=model, input=texts[0], encoding_format="float")
print(
    json.dumps(
        {
            "named": answer.model,
            "usage": answer.usage.model_dump(),
            "dimensions": [len(vector) for vector in vectors],
            "near": dot(vectors[0], vectors[1]),
            "far": dot(vectors[0], vectors[2]),
            "same": rounded(plain.data[0].embedding) == rounded(vectors[0]),
            "refused": refusal(model=model, input=texts, dimensions=64),
            "wrong": refusal(model=chat_model, input=texts),
        }
    )
)
