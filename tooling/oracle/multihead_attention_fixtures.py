"""Writes packages/nn/test/fixtures/multihead-attention.safetensors: torch.nn.MultiheadAttention with every form of mask, layout and
width, outputs, per-head weights and gradients, from PyTorch in float64.
Run: python tooling/oracle/multihead_attention_fixtures.py (needs torch, numpy, safetensors)."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hash_values import hash_normal, hash_uniform, hash_weight

OUT = Path(__file__).resolve().parents[2] / "packages/nn/test/fixtures/multihead-attention.safetensors"
DTYPE = torch.float64
WIDTH, HEADS, BATCH, QUERIES, KEYS = 12, 3, 2, 7, 13

# Masks: attn is 'bool' or 'float', of 2 or 3 axes; padding is 'bool' or 'float'. The test reads these from the file's metadata.
CASES: dict[str, dict] = {
    "plain": {},
    "self": {"self": True, "attn": "bool 2"},
    "sequence-first": {"batch_first": False, "attn": "bool 3", "padding": "bool"},
    "sequence-first-self": {"batch_first": False, "self": True},
    "bool-2": {"attn": "bool 2"},
    "bool-3": {"attn": "bool 3"},
    "float-2": {"attn": "float 2"},
    "float-3": {"attn": "float 3"},
    "padding": {"padding": "bool"},
    "float-padding": {"padding": "float"},
    "both-bool": {"attn": "bool 2", "padding": "bool"},
    "both-float": {"attn": "float 3", "padding": "float"},
    "float-and-bool": {"attn": "float 2", "padding": "bool"},
    "bool-and-float": {"attn": "bool 3", "padding": "float"},
    "no-bias": {"bias": False, "attn": "float 2"},
    "three-widths": {"kdim": 8, "vdim": 9, "attn": "bool 3", "padding": "bool"},
    "bias-kv": {"add_bias_kv": True, "attn": "float 3", "padding": "bool"},
    "zero-attention": {"add_zero_attn": True, "attn": "bool 2", "padding": "bool"},
    "bias-kv-and-zero": {"add_bias_kv": True, "add_zero_attn": True, "attn": "bool 3", "kdim": 8, "vdim": 8},
}


def numbers(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(hash_normal(name, shape)).to(DTYPE)


def mask_of(name: str, kind: str, *shape: int) -> torch.Tensor:
    """A third is blocked, the first key never; a float mask has −∞ there."""
    blocked = torch.from_numpy(hash_uniform(f"{name}/blocked", int(torch.Size(shape).numel())).reshape(shape)) < 1 / 3
    blocked[..., 0] = False
    if kind == "bool":
        return blocked
    return numbers(name, *shape).masked_fill(blocked, -torch.inf).requires_grad_()


def run(name: str, case: dict, result: dict) -> None:
    case = dict(case)
    itself, attn, padding = case.pop("self", False), case.pop("attn", None), case.pop("padding", None)
    batch_first = case.pop("batch_first", True)
    module = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first, **case).to(DTYPE)
    with torch.no_grad():
        for key, p in module.named_parameters():
            p.copy_(torch.from_numpy(hash_weight(f"{name}/{key}", tuple(p.shape))))
    keys = QUERIES if itself else KEYS

    def operand(which: str, tokens: int, width: int) -> torch.Tensor:
        shape = (BATCH, tokens) if batch_first else (tokens, BATCH)
        return numbers(f"{name}/{which}", *shape, width).requires_grad_()

    query = operand("query", QUERIES, WIDTH)
    key = query if itself else operand("key", keys, case.get("kdim", WIDTH))
    value = query if itself else operand("value", keys, case.get("vdim", WIDTH))
    masks = {}
    if attn:
        kind, axes = attn.split()
        lead = () if axes == "2" else (BATCH * HEADS,)
        masks["attn_mask"] = mask_of(f"{name}/attn", kind, *lead, QUERIES, keys)
    if padding:
        masks["key_padding_mask"] = mask_of(f"{name}/padding", padding, BATCH, keys)
    out, weights = module(query, key, value, average_attn_weights=False, **masks)
    out.backward(numbers(f"{name}/gradient", *out.shape))
    inputs = {"query": query} if itself else {"query": query, "key": key, "value": value}
    floats = {which: mask for which, mask in masks.items() if mask.requires_grad}
    result[f"{name}/out"] = out.detach()
    result[f"{name}/weights"] = weights.detach()
    for key, p in {**dict(module.named_parameters()), **inputs, **floats}.items():
        result[f"{name}/{key}.grad"] = p.grad


if __name__ == "__main__":
    result: dict = {}
    for name, case in CASES.items():
        run(name, case, result)
    tensors = {key: value.float().contiguous() for key, value in result.items()}
    save_file(tensors, OUT, metadata={"cases": json.dumps(CASES)})
