"""The stock OpenAI client for Python, with no key, against a local endpoint.

Usage: python openai_client.py BASE_URL MODEL   -> one line of JSON
"""

import json
import sys

import openai

base_url, model = sys.argv[1:]
client = openai.OpenAI(base_url=base_url, api_key="none", max_retries=0)
messages = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]
settings = {"model": model, "messages": messages, "temperature": 0, "max_tokens": 16}

models = [entry.id for entry in client.models.list()]
whole = client.chat.completions.create(**settings)
streamed, finish, streamed_usage = "", None, None
for chunk in client.chat.completions.create(
    **settings, stream=True, stream_options={"include_usage": True}
):
    if chunk.choices:
        streamed += chunk.choices[0].delta.content or ""
        finish = chunk.choices[0].finish_reason or finish
    streamed_usage = chunk.usage or streamed_usage
completion = client.completions.create(
    model=model, prompt="Once upon a time", temperature=0.7, top_p=0.9, seed=7, max_tokens=8
)
try:
    client.chat.completions.create(**{**settings, "model": "no-such-model"})
    refused = None
except openai.APIStatusError as error:
    refused = {"name": type(error).__name__, "status": error.status_code, "code": error.code}
print(
    json.dumps(
        {
            "models": models,
            "whole": whole.choices[0].message.content,
            "usage": whole.usage.model_dump(include={"prompt_tokens", "completion_tokens"}),
            "streamed": streamed,
            "finish": finish,
            "streamedUsage": streamed_usage and streamed_usage.model_dump(),
            "completion": completion.choices[0].text,
            "refused": refused,
        }
    )
)
