"""Makes preset.bin: transactions of Ethereum from which the batch encoding's models learn.

usage: make.py OUT FIXTURE.json.gz...   (Python with rlp and zstandard)

A fixture is gzipped JSON with a block as `eth_getBlockByNumber` gives it, whole transactions
included, under `block`. Taken are the transactions of types 0 to 2 whose input is short, without
their signatures; of those that look alike (same recipient and selector in one block, or plain
transfers) only the first few, because more of them teach nothing.
"""

import collections
import gzip
import json
import sys

import rlp
import zstandard

LONGEST_INPUT = 1500
MOST_ALIKE = 6
MOST_TRANSFERS = 40


def number(text):
    return int(text, 16)


def octets(text):
    return bytes.fromhex(text[2:])


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def encoded(tx):
    """The EIP-2718 encoding with 1 in place of r and s."""
    kind = number(tx.get("type", "0x0"))
    tail = [octets(tx["to"]) if tx.get("to") else b"", number(tx["value"]), octets(tx["input"])]
    nonce, gas = number(tx["nonce"]), number(tx["gas"])
    if kind == 0:
        return rlp.encode([nonce, number(tx["gasPrice"]), gas, *tail, number(tx["v"]), 1, 1])
    listed = tx.get("accessList") or []
    tail.append([[octets(item["address"]), [octets(key) for key in item["storageKeys"]]] for item in listed])
    tail += [number(tx["v"]), 1, 1]
    fees = [number(tx["gasPrice"])] if kind == 1 else [number(tx["maxPriorityFeePerGas"]), number(tx["maxFeePerGas"])]
    return bytes([kind]) + rlp.encode([1, nonce, *fees, gas, *tail])


def chosen(block):
    alike = collections.Counter()
    for tx in block["transactions"]:
        if number(tx.get("type", "0x0")) > 2 or len(tx["input"]) > 2 + 2 * LONGEST_INPUT:
            continue
        transfer = tx["input"] == "0x"
        key = "transfer" if transfer else (tx.get("to"), tx["input"][:10])
        alike[key] += 1
        if alike[key] <= (MOST_TRANSFERS if transfer else MOST_ALIKE):
            yield tx


def main(out, fixtures):
    blocks = [json.load(gzip.open(path))["block"] for path in fixtures]
    blocks.sort(key=lambda block: number(block["timestamp"]))
    blocks = [(block, list(chosen(block))) for block in blocks]
    blocks = [(block, transactions) for block, transactions in blocks if transactions]
    sample = varint(len(blocks))
    before = 0
    for block, _ in blocks:
        sample += varint(number(block["timestamp"]) - before)
        before = number(block["timestamp"])
    for _, transactions in blocks:
        sample += varint(len(transactions))
    # One run each of gas limits and beneficiaries, which teach nothing, and no L1 origins.
    sample += varint(len(blocks)) + varint(0) + varint(len(blocks)) + bytes(20) + bytes(len(blocks))
    count = 0
    for _, transactions in blocks:
        for tx in transactions:
            sample += encoded(tx)
            count += 1
    packed = zstandard.ZstdCompressor(level=19).compress(sample)
    with open(out, "wb") as file:
        file.write(packed)
    print(f"{count} transactions, {len(sample)} bytes, {len(packed)} packed")


main(sys.argv[1], sys.argv[2:])
