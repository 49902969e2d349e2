"""Writes embed.json: ids by the `tokenizers` package, vectors by numpy in float64.

python embed.py DIRECTORY > embed.json, where DIRECTORY holds all-MiniLM-L6-v2.
"""
import hashlib
import json
import math
import random
import struct
import sys

import numpy as np
from tokenizers import Tokenizer

directory = sys.argv[1]
config = json.load(open(f"{directory}/config.json"))
limit = json.load(open(f"{directory}/sentence_bert_config.json"))["max_seq_length"]
tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(limit)
erf = np.vectorize(math.erf)


def tensors():
    data = open(f"{directory}/model.safetensors", "rb").read()
    size = struct.unpack("<Q", data[:8])[0]
    table = json.loads(data[8 : 8 + size])
    for name, record in table.items():
        if record.get("dtype") == "F32":
            start, end = (8 + size + offset for offset in record["data_offsets"])
            yield name, np.frombuffer(data[start:end], "<f4").reshape(record["shape"]).astype(np.float64)


weights = dict(tensors())


def linear(x, name):
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def norm(x, name):
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + config["layer_norm_eps"]) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def embed(ids):
    x = weights["embeddings.word_embeddings.weight"][ids] + weights["embeddings.token_type_embeddings.weight"][0]
    x = norm(x + weights["embeddings.position_embeddings.weight"][: len(ids)], "embeddings.LayerNorm")
    heads = config["num_attention_heads"]
    for layer in range(config["num_hidden_layers"]):
        name = f"encoder.layer.{layer}"
        q, k, v = (linear(x, f"{name}.attention.self.{part}").reshape(len(ids), heads, -1).transpose(1, 0, 2) for part in ["query", "key", "value"])
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        out = (scores / scores.sum(-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(len(ids), -1)
        x = norm(linear(out, f"{name}.attention.output.dense") + x, f"{name}.attention.output.LayerNorm")
        inner = linear(x, f"{name}.intermediate.dense")
        inner = 0.5 * inner * (1 + erf(inner / math.sqrt(2)))
        x = norm(linear(inner, f"{name}.output.dense") + x, f"{name}.output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


texts = ["", " ", "A cat sits on the mat.", "Ein Vertrag über 1.000 € — naïve café, ÅNGSTRÖM!", "今日は良い天気です。漢字とかなカナ한국어",
         "tabs\tand\nlines\r\n\0\x07\u200b\ufffd\u00adcontrol", "[CLS] is not [MASK]ed [SEP][SEP] [unused1] [cls]", "supercalifragilisticexpialidocious antidisestablishmentarianism xqzjvk",
         "x" * 100, "x" * 101 + " y", "é" * 100, "word " * 400, "1234567890 3.14159 1,000,000 v1.2.3-rc.4 a_b-c@d.e",
         "def f(x): return {'a': [x**2 for x in range(10)]}  # ok", "\U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1e9\U0001f1ea", "ﬁne ﬂow ½ ² Ⅷ ㎏ Å ſ ß ẞ ŉ İ ı Σίσυφος",
         "العربية مَرْحَبًا עִבְרִית हिन्दी ภาษาไทย", "¡¿«quoted» “curly” ‘single’ – — … §¶†‡•", "a\u0301e\u0300\u0301 q\u0307\u0323 \u0344 ﷽", "\u3000ideographic\u2003space\u2028line\u0085next", "𝒜𝓁𝓅𝒽𝒶 𝟙𝟚𝟛 豈 丽",
         "Payment channels let a buyer pay for each answer with one signed message. The seller keeps the largest.", "question: how do I revoke consent for my data?"]
vectors = [[round(float(number), 6) for number in embed(tokenizer.encode(text).ids)] for text in texts[2:12:2] + texts[11:12] + texts[-2:]]
vector_texts = texts[2:12:2] + texts[11:12] + texts[-2:]
random.seed(7)
pools = ["abcdefghij KLMNO  .,!?-'\"", "äöüßéèêñçøåÀÉÎ o", "漢字仮名交じり文ABC ", "[CLS][SEP][MASK][] a", "\u0301\u0300\u0323\u0345aeiou\u200d ", "абвгд ЁЖЗИЙ", "𐀀𐍈𝄞𝅘𝅥 a"]
for _ in range(150):
    pool = random.choice(pools)
    texts.append("".join(random.choice(pool) for _ in range(random.randint(1, 40))))
for _ in range(150):
    texts.append("".join(chr(c) for c in (random.choice([random.randint(1, 0x2FFF), random.randint(1, 0x10FFFF), 32, random.randint(97, 122)]) for _ in range(random.randint(1, 30))) if not 0xD800 <= c < 0xE000))
planes = []
for plane in range(17):
    digest = hashlib.sha256()
    for code in range(plane << 16, (plane + 1) << 16):
        if not 0xD800 <= code < 0xE000:
            ids = tokenizer.encode(f"a{chr(code)}b {chr(code)}").ids
            digest.update(struct.pack(f"<{len(ids)}I", *ids))
    planes.append(digest.hexdigest())
json.dump({"texts": texts, "ids": [tokenizer.encode(text).ids for text in texts], "vectors": [{"text": text, "vector": vector} for text, vector in zip(vector_texts, vectors)], "planes": planes}, sys.stdout, ensure_ascii=True)
