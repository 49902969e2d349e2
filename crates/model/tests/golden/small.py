"""Writes small-PATTERN.gguf: a vocabulary made to tell the patterns apart, without weights.

The default model's vocabulary has no token of two digits, so three patterns give it the same ids.
Here digits merge up to four, `hello` has no merges (Llama 3 takes it whole, others do not), and
user-defined tokens overlap. See README.md for how to run it: python small.py
"""
from gguf import GGUFWriter, TokenType


def byte_characters():
    """GPT-2's printable form of the 256 bytes, in the bytes' order."""
    printable = [*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = iter(range(256, 512))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


merges = [f"{a} {b}" for a in "0123456789" for b in "0123456789"]
merges += [f"{a}{a} {b}" for a in "0123456789" for b in "0123456789"]
merges += ["12 3", "23 4", "123 4", "12 34", "t h", "th e", "Ġ the", "Ġ Ġ", "ĠĠ ĠĠ", "Ċ Ċ", "' s", ". .", ".. .", "( )", "a a", "aa aa", "! Ċ", "Ù ħ"]
tokens = byte_characters() + list(dict.fromkeys(merge.replace(" ", "") for merge in merges)) + ["hello", "Ġhello"]
normal = len(tokens)
special = [("<|im_start|>", TokenType.CONTROL), ("<|im_end|>", TokenType.CONTROL), ("<unk>", TokenType.UNKNOWN),
           ("<x>", TokenType.USER_DEFINED), ("<x><y>", TokenType.USER_DEFINED), ("y><x", TokenType.USER_DEFINED), ("12.5", TokenType.USER_DEFINED), ("  ", TokenType.USER_DEFINED)]
for pre in ["smollm", "llama-bpe", "qwen2", "gpt-2", "default"]:
    writer = GGUFWriter(f"small-{pre}.gguf", "llama")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens + [text for text, _ in special])
    writer.add_token_types([TokenType.NORMAL] * normal + [kind for _, kind in special])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(normal)
    writer.add_eos_token_id(normal + 1)
    writer.add_unk_token_id(normal + 2)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
