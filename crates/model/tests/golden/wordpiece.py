"""Writes wordpiece.txt: what the `tokenizers` package (its BertNormalizer and BertPreTokenizer) does to each character.

Its tables are of several old Unicode versions; frozen here, ids stay what they are. Run by: python wordpiece.py tokenizer.json > wordpiece.txt
"""
import sys
from tokenizers import Tokenizer

tokenizer = Tokenizer.from_file(sys.argv[1])
normalize = tokenizer.normalizer.normalize_str
split = tokenizer.pre_tokenizer.pre_tokenize_str
CHINESE = [(0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F), (0x2B920, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)]


def ranges(codes):
    runs = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in runs)


removed, spaces, punctuation, maps = [], [], [], []
for code in range(0x110000):
    if 0xD800 <= code < 0xE000:
        continue
    char = chr(code)
    out = normalize(char)
    if any(a <= code <= b for a, b in CHINESE):
        assert out[0] == out[-1] == " " and len(out) == 3, hex(code)
        out = out[1:-1]
    parts = len(split("a" + char + "b"))
    if out == "":
        removed.append(code)
    elif out == " ":
        spaces.append(code)
    elif out != char:
        if 0xAC00 <= code <= 0xD7A3:
            syllable = code - 0xAC00
            jamo = [0x1100 + syllable // 588, 0x1161 + syllable % 588 // 28, 0x11A7 + syllable % 28]
            assert [ord(c) for c in out] == [j for j in jamo if j != 0x11A7]
        else:
            maps.append((code, [ord(c) for c in out]))
    assert parts in (1, 2, 3), hex(code)
    if parts == 3:
        punctuation.append(code)
    assert (parts == 2) == (out == " ") or code in removed or parts == 2 and out == " ", (hex(code), parts, out)
print("removed", ranges(removed))
print("space", ranges(spaces))
print("punctuation", ranges(punctuation))
# Runs of characters that map to one character each at one distance and stride.
runs = []
for code, out in maps:
    last = runs[-1] if runs else None
    if last and len(out) == len(last[3]) == 1 and out[0] - code == last[3][0] - last[0] and (last[1] == last[0] and code - last[1] <= 2 or code - last[1] == last[2]):
        last[2] = code - last[1]
        last[1] = code
    else:
        runs.append([code, code, 1, out])
for first, last, stride, out in runs:
    key = f"{first:x}" if first == last else f"{first:x}-{last:x}" + ("/2" if stride == 2 else "")
    print("map", key, *(f"{c:x}" for c in out))
