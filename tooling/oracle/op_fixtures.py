"""PyTorch's float64 results and gradients for every op of tooling/conformance/src/ops.ts.

    pnpm --filter @ditkit/conformance --silent manifest > .cache/ops.json
    .cache/oracle/bin/python tooling/oracle/op_fixtures.py .cache/ops.json

writes tooling/conformance/fixtures/ops.safetensors: 'NAME' (the result) and 'NAME.grad.I' (gradients of the float inputs).
"""

import json
import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from hash_values import hash_integers, hash_normal, hash_uniform

OUT = pathlib.Path(__file__).parent.parent / "conformance" / "fixtures" / "ops.safetensors"


def values(name: str, spec: dict) -> torch.Tensor:
    shape = spec["shape"]
    size = int(np.prod(shape))
    kind = spec.get("values", "normal")
    if kind == "normal":
        array = hash_normal(name, shape)
    elif kind == "positive":
        array = (0.1 + 2 * hash_uniform(name, size)).astype(np.float32).astype(np.float64)
    elif kind == "coarse":
        array = (hash_integers(name, size, 5) - 2).astype(np.float64)
    elif kind == "index":
        array = hash_integers(name, size, spec["below"])
    else:
        array = hash_integers(name, size, 2).astype(bool)
    return torch.from_numpy(np.ascontiguousarray(array)).reshape(shape)


def to_bf16(x: torch.Tensor) -> torch.Tensor:
    return x.bfloat16().double()


class Bf16Product(torch.autograd.Function):
    """a @ b of operands rounded to bf16, in float64; the products of the gradients round theirs too."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return to_bf16(a) @ to_bf16(b)

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        da = to_bf16(g) @ to_bf16(b).transpose(-2, -1)
        db = to_bf16(a).transpose(-2, -1) @ to_bf16(g)
        return da.sum_to_size(a.shape), db.sum_to_size(b.shape)


def main(manifest: str) -> None:
    stored = {}
    for op in json.loads(pathlib.Path(manifest).read_text()):
        inputs = [values(f"{op['name']}/{i}", spec) for i, spec in enumerate(op["inputs"])]
        if not op["flat"]:
            for x in inputs:
                x.requires_grad_(x.dtype == torch.float64)
        scope = {"torch": torch, "F": F, "bf16_product": Bf16Product.apply, **dict(zip("abcdefgh", inputs))}
        out = eval(op["torch"], scope)
        stored[op["name"]] = out.detach().to(torch.float32).contiguous()
        if not op["flat"]:
            gradient = torch.from_numpy(np.ascontiguousarray(hash_normal(f"{op['name']}/out", list(out.shape)))).reshape(out.shape)
            out.backward(gradient)
            for i, x in enumerate(inputs):
                if x.grad is not None:
                    stored[f"{op['name']}.grad.{i}"] = x.grad.to(torch.float32).contiguous()
    OUT.parent.mkdir(exist_ok=True)
    save_file(stored, OUT, metadata={"torch": torch.__version__})
    print(f"{len(stored)} tensors, {OUT.stat().st_size} bytes")


main(sys.argv[1])
