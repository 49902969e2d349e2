"""Recomputes the golden vectors with independent code: hashlib, eth-account, PyNaCl, rfc8785.

Merkle trees follow the recursive definitions of RFC 6962 section 2.1, paths are folded from them.
"""

import base64
import hashlib
import json
import pathlib

import rfc8785
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from nacl.signing import VerifyKey

HERE = pathlib.Path(__file__).parent
checked = 0


def cases(file, array):
    return json.loads((HERE / file).read_text())[array]


def same(ours, theirs, what):
    global checked
    if isinstance(theirs, bytes):
        theirs = "0x" + theirs.hex()
    assert ours == theirs, f"{what}: the file has {ours}, independent code makes {theirs}"
    checked += 1


def raw(text):
    return bytes.fromhex(text.removeprefix("0x"))


def be(number, size):
    return int(number).to_bytes(size, "big", signed=int(number) < 0)


# --- EIP-712 ---------------------------------------------------------------------------------

TYPES = {
    "ChannelConfig": "address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,"
    "address token,uint40 withdrawDelay,bytes32 salt",
    "Voucher": "bytes32 channelId,uint128 maxClaimableAmount",
    "Request": "bytes32 channel,bytes32 request,bytes32 terms,uint128 maxCharge,uint64 expiry",
    "Promise": "bytes32 root,uint64 first,uint32 count,bytes32 notBefore,uint64 mergeBy",
    "Checkpoint": "string origin,uint64 size,bytes32 root",
    "Grant": "address owner,bytes32 dataset,address grantee,bytes32 purpose,bytes32 service,"
    "uint128 price,uint16 shareBps,uint64 start,uint64 end,uint256 nonce",
}


def typed(case, kind, domain_name):
    fields = [dict(zip(("type", "name"), field.split())) for field in TYPES[kind].split(",")]
    domain = {"name": domain_name, "version": "1"}
    domain_type = [{"name": "name", "type": "string"}, {"name": "version", "type": "string"}]
    if "chain" in case:
        domain |= {"chainId": int(case["chain"]), "verifyingContract": case["settlement"]}
        domain_type += [
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ]
    message = {
        field["name"]: int(case[field["name"]]) if "int" in field["type"] else case[field["name"]]
        for field in fields
    }
    return encode_typed_data(
        full_message={
            "types": {kind: fields, "EIP712Domain": domain_type},
            "primaryType": kind,
            "domain": domain,
            "message": message,
        }
    )


def digest(signable):
    return keccak(b"\x19\x01" + signable.header + signable.body)


for case in cases("eip712.json", "channels"):
    same(case["id"], digest(typed(case, "ChannelConfig", "x402 Batch Settlement")), "channel id")
for array, kind, name in [
    ("vouchers", "Voucher", "x402 Batch Settlement"),
    ("requests", "Request", "Vouch"),
    ("promises", "Promise", "Vouch"),
    ("checkpoints", "Checkpoint", "Vouch Log"),
]:
    for case in cases("eip712.json", array):
        signable = typed(case, kind, name)
        same(case["digest"], digest(signable), f"{kind} digest")
        same(case["signature"], bytes(Account.sign_message(signable, case["key"]).signature), f"{kind} signature")
        signer = Account.recover_message(signable, signature=case["signature"])
        same(case["signer"], signer.lower(), f"{kind} signer")

# --- Receipts --------------------------------------------------------------------------------

LAYOUT = (
    "version:1 chain:8 settlement:20 kind:1 status:1 tier:1 flags:2 provider:20 agent:32 payer:20 channel:32 "
    "sequence:8 request:32 response:32 tokens:32 input:8 cached:8 output:8 model:32 sampling:32 seed:32 "
    "commitment:32 terms:32 charge:16 cumulative:16 asset:20 parent:32 time:8"
)
for case in cases("receipt.json", "receipts"):
    encoded = b""
    for field in LAYOUT.split():
        name, size = field.split(":")
        value = case[name]
        encoded += raw(value) if value.startswith("0x") else be(value, int(size))
    same(case["encoded"], encoded, "receipt bytes")
    same(case["digest"], keccak(encoded), "receipt digest")
    same(case["entry"], b"\x01" + keccak(encoded), "log entry")
    same(case["leafHash"], hashlib.sha256(b"\x00\x01" + keccak(encoded)).digest(), "leaf hash")

# --- Merkle trees ----------------------------------------------------------------------------


def leaf(index):
    return hashlib.sha256(b"\x00" + f"entry {index}".encode()).digest()


def split(count):
    return 1 << (count - 1).bit_length() - 1


def mth(leaves):
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [mth(leaves[k:])]
    return path(m - k, leaves[k:]) + [mth(leaves[:k])]


def subproof(m, leaves, known):
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return subproof(m, leaves[:k], known) + [mth(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [mth(leaves[:k])]


def hexes(hashes):
    return ["0x" + item.hex() for item in hashes]


for case in cases("merkle.json", "leaves"):
    same(case["hash"], hashlib.sha256(b"\x00" + raw(case["entry"])).digest(), "leaf")
for case in cases("merkle.json", "roots"):
    same(case["root"], mth([leaf(i) for i in range(int(case["size"]))]), "root")
for case in cases("merkle.json", "inclusions"):
    leaves = [leaf(i) for i in range(int(case["size"]))]
    same(case["root"], mth(leaves), "root")
    same(case["leaf"], leaves[int(case["index"])], "leaf")
    same(case["path"], hexes(path(int(case["index"]), leaves)), "inclusion path")
for case in cases("merkle.json", "consistencies"):
    old, new = int(case["oldSize"]), int(case["newSize"])
    leaves = [leaf(i) for i in range(new)]
    same(case["oldRoot"], mth(leaves[:old]), "old root")
    same(case["newRoot"], mth(leaves), "new root")
    same(case["path"], hexes(subproof(old, leaves, True)) if 0 < old < new else [], "consistency path")

# --- Checkpoints -----------------------------------------------------------------------------


def key_id(name, blob):
    return hashlib.sha256(name.encode() + b"\n" + blob).digest()[:4]


for case in cases("checkpoint.json", "checkpoints"):
    text, _, lines = case["note"].rpartition("\n\n")
    text += "\n"
    root = base64.b64encode(raw(case["root"])).decode()
    same(text, f"{case['origin']}\n{case['size']}\n{root}\n", "checkpoint text")
    blobs = [base64.b64decode(line.split(" ")[2]) for line in lines.strip().split("\n")]
    for verifier, blob in [(case["key"], blobs[0]), (case["witness"], blobs[2])]:
        name, hash_, key = verifier.split("+", 2)
        key = base64.b64decode(key)
        same(hash_, key_id(name, key).hex(), "verifier key hash")
        assert blob[:4] == key_id(name, key), "note key id"
        message, signature = text, blob[4:]
        if key[0] == 4:
            time, signature = int.from_bytes(signature[:8], "big"), signature[8:]
            same(case["witnessTime"], str(time), "witness time")
            message = f"cosignature/v1\ntime {time}\n{text}"
        VerifyKey(key[1:]).verify(message.encode(), signature)
        checked += 1
    name = b"vouch/eip712-secp256k1/v1"
    assert blobs[1][:4] == key_id(case["origin"], b"\xff" + name + raw(case["provider"])), "secp256k1 key id"
    signable = typed(case, "Checkpoint", "Vouch Log")
    same(case["digest"], digest(signable), "checkpoint digest")
    signer = Account.recover_message(signable, signature=blobs[1][4:])
    same(case["provider"], signer.lower(), "checkpoint signer")

# --- Money and commitments -------------------------------------------------------------------

for case in cases("money.json", "charges"):
    part = sum(int(case[n]) * int(case["price" + n.title()]) for n in ("input", "cached", "output"))
    same(case["charge"], str(-(-part // 10**6) + int(case["priceRequest"])), "charge")
for case in cases("commitments.json", "canonical"):
    canonical = rfc8785.dumps(json.loads(case["text"]))
    same(case["canonical"], canonical, "RFC 8785 form")
    same(case["hash"], keccak(canonical), "canonical hash")
    same(case["commitment"], keccak(raw(case["nonce"]) + canonical), "response commitment")
for case in cases("commitments.json", "requests"):
    nonce = raw(case["nonce"])
    commitment = keccak(nonce + case["resource"].encode() + b"\n" + case["body"].encode())
    same(case["commitment"], commitment, "request commitment")
    same(case["derivedSeed"], keccak(nonce + commitment), "derived seed")
    same(case["seedCommitment"], keccak(nonce + keccak(nonce + commitment)), "seed commitment")
for case in cases("commitments.json", "seeds"):
    seed = int(case["seed"]).to_bytes(32, "big", signed=True)
    same(case["seedBytes"], seed, "caller's seed")
    same(case["commitment"], keccak(raw(case["nonce"]) + seed), "seed commitment")
for case in cases("commitments.json", "tokens"):
    blob = raw(case["nonce"])
    for ids in (case["input"], case["output"]):
        blob += be(len(ids), 8) + b"".join(be(i, 4) for i in ids)
    same(case["commitment"], keccak(blob), "token commitment")
for case in cases("commitments.json", "terms"):
    assert case["canonical"].encode() == rfc8785.dumps(json.loads(case["canonical"])), "terms"
    same(case["hash"], keccak(case["canonical"].encode()), "terms hash")

# --- Uses of data and acts -------------------------------------------------------------------

for case in cases("data_use.json", "streams"):
    blob = b"vouch data use" + be(case["chain"], 8)
    blob += b"".join(raw(case[name]) for name in ("settlement", "provider", "owner"))
    same(case["stream"], keccak(blob), "account stream")
for case in cases("data_use.json", "grants"):
    same(case["id"], typed(case, "Grant", "any").body, "grant id")
for case in cases("data_use.json", "uses"):
    nonce = keccak(raw(case["nonce"]) + b"source" + be(case["index"], 4))
    same(case["sourceNonce"], nonce, "source nonce")
    same(case["request"], keccak(nonce + raw(case["dataset"]) + raw(case["document"])), "data use")
for case in cases("data_use.json", "acts"):
    nonce = raw(case["nonce"])
    intent, outcome = (rfc8785.dumps(json.loads(case[name])) for name in ("intent", "outcome"))
    same(case["request"], keccak(nonce + b"ACT " + case["kind"].encode() + b"\n" + intent), "intent")
    same(case["response"], keccak(nonce + outcome), "outcome")

# --- Faults ----------------------------------------------------------------------------------


def climb(leaf, index, size, path):
    """The root to which a path of RFC 6962 leads; None if it is not of this index and size."""
    if index >= size or (size == 1) != (not path):
        return None
    if size == 1:
        return leaf
    k, last = split(size), raw(path[-1])
    below = climb(leaf, index, k, path[:-1]) if index < k else climb(leaf, index - k, size - k, path[:-1])
    pair = (below, last) if index < k else (last, below)
    return below and hashlib.sha256(b"\x01" + pair[0] + pair[1]).digest()


def statement(case, prefix):
    """A receipt's fields, with its index and terms, if its provider promised it."""
    encoded, fields, at = raw(case[prefix + "Receipt"]), {}, 0
    for field in LAYOUT.split():
        name, size = field.split(":")
        fields[name], at = encoded[at : at + int(size)], at + int(size)
    names = ("root", "first", "count", "notBefore", "mergeBy")
    promise = {name: case[prefix + name[0].upper() + name[1:]] for name in names}
    promise |= {"chain": int.from_bytes(fields["chain"], "big"), "settlement": "0x" + fields["settlement"].hex()}
    signer = Account.recover_message(typed(promise, "Promise", "Vouch"), signature=case[prefix + "Signature"])
    leaf = hashlib.sha256(b"\x00\x01" + keccak(encoded)).digest()
    index = int(case[prefix + "Index"])
    root = climb(leaf, index - int(promise["first"]), int(promise["count"]), case[prefix + "Path"])
    if raw(signer) != fields["provider"] or root != raw(promise["root"]):
        return None
    return fields | {"encoded": encoded, "leaf": leaf, "index": index, "text": case[prefix + "Terms"].encode()}


def terms_of(said):
    return json.loads(said["text"]) if keccak(said["text"]) == said["terms"] else None


def signs(provider, origin, size, root, signature):
    signable = typed({"origin": origin, "size": size, "root": root}, "Checkpoint", "Vouch Log")
    return Account.recover_message(signable, signature=signature).lower() == provider


def word(value):
    return value.rjust(32, b"\0") if isinstance(value, bytes) else be(value, 32)


def place_of(kind, case):
    """Where the provider contradicts itself: words to hash, or None if it does not."""
    if kind == "splitLogs":
        told = [(case[f"{which}Root"], case[f"{which}Signature"]) for which in ("first", "second")]
        signed = all(signs(case["provider"], case["origin"], case["size"], *one) for one in told)
        return [keccak(case["origin"].encode()), case["size"]] if signed and told[0][0] != told[1][0] else None
    first = statement(case, "first")
    second = statement(case, "second") if kind.startswith("double") else first
    if first is None or second is None or first["provider"] != second["provider"]:
        return None
    differ = first["encoded"] != second["encoded"]
    if kind == "doubleSequences":
        one, other = ([said[name] for name in ("chain", "settlement", "channel", "sequence")] for said in (first, second))
        return one if differ and one == other and any(first["channel"]) else None
    terms, others = terms_of(first), terms_of(second)
    if terms is None or others is None:
        return None
    origin = terms["log"]["origin"]
    if kind == "doubleIndexes":
        same_place = (origin, first["index"]) == (others["log"]["origin"], second["index"])
        return [keccak(origin.encode()), first["index"]] if differ and same_place else None
    if kind == "brokenPromises":
        size, root = int(case["logSize"]), raw(case["logRoot"])
        signed = signs("0x" + first["provider"].hex(), origin, size, case["logRoot"], case["logSignature"])
        holds = climb(raw(case["leaf"]), first["index"], size, case["logPath"]) == root
        broken = signed and holds and raw(case["leaf"]) != first["leaf"]
        return [keccak(origin.encode()), first["index"]] if broken else None
    total = sum(int(terms["prices"][name]) * int.from_bytes(first[name], "big") for name in ("input", "cached", "output"))
    owed = -(-total // 10**6) + int(terms["prices"]["request"])
    fits = max(total, owed) < 2**128
    return None if fits and owed == int.from_bytes(first["charge"], "big") else first["encoded"]


for number, kind in enumerate(["splitLogs", "doubleSequences", "doubleIndexes", "brokenPromises", "wrongCharges"]):
    for case in cases("faults.json", kind):
        provider = raw(cases("faults.json", "splitLogs")[0]["provider"])
        place = place_of(kind, case)
        if place is not None:
            hashed = keccak(place if isinstance(place, bytes) else b"".join(word(value) for value in place))
            place = keccak(word(provider) + be(number, 32) + hashed)
        same(case["fault"], place or "", f"{kind}: {case['case']}")
for case in cases("faults.json", "claims"):
    said = statement(case, "first")
    here = said and said["channel"] == raw(case["channel"])
    here = here and said["settlement"] == raw(cases("eip712.json", "channels")[0]["settlement"])
    covers = bool(here and int.from_bytes(said["cumulative"], "big") >= int(case["claimed"]))
    same(case["covers"], str(int(covers)), f"claims: {case['case']}")

print(f"{checked} values agree")
