"""PyTorch's float64 scaled_dot_product_attention and its gradients, for tooling/conformance/test/attention-pytorch.test.ts.

    .cache/oracle/bin/python tooling/oracle/attention_fixtures.py

writes tooling/conformance/fixtures/attention.safetensors: 'CASE/out', 'CASE/q', 'CASE/k', 'CASE/v' and, where there is one,
'CASE/bias'. Inputs come from hash_values under the names 'attention/CASE/...'; PyTorch's layout is [B, H, L, D].
"""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from hash_values import hash_normal, hash_uniform

OUT = pathlib.Path(__file__).parent.parent / "conformance" / "fixtures" / "attention.safetensors"
B, LQ, LK, H, D, DV = 2, 7, 9, 2, 4, 3


def normal(name: str, shape: list) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(hash_normal(f"attention/{name}", shape)))


def boolean(name: str, shape: list, share: float) -> torch.Tensor:
    return torch.from_numpy(hash_uniform(f"attention/{name}", int(np.prod(shape))) < share).reshape(shape)


def heads(x: torch.Tensor) -> torch.Tensor:
    return x.transpose(1, 2)


def main() -> None:
    stored = {}

    def case(name: str, bias=None, mask=None, causal=False, scale=None) -> None:
        q, k, v = (normal(f"{name}/{n}", s).requires_grad_() for n, s in
                   [("q", [B, LQ, H, D]), ("k", [B, LK, H, D]), ("v", [B, LK, H, DV])])
        added = None
        if bias is not None:
            bias = bias.requires_grad_()
            added = bias if mask is None else bias.masked_fill(~mask, float("-inf"))
        out = heads(F.scaled_dot_product_attention(heads(q), heads(k), heads(v), mask if bias is None else added,
                                                   is_causal=causal, scale=scale))
        assert not out.isnan().any(), f"{name}: PyTorch gave NaN"
        out.backward(normal(f"{name}/dOut", [B, LQ, H, DV]))
        for key, value in {"out": out, "q": q.grad, "k": k.grad, "v": v.grad}.items():
            stored[f"{name}/{key}"] = value.detach().contiguous()
        if bias is not None:
            stored[f"{name}/bias"] = bias.grad.contiguous()

    case("plain")
    case("scale", scale=0.3)
    case("causal", causal=True)
    lower_right = torch.ones(LQ, LK).tril(LK - LQ).bool()
    case("bottom-right", mask=lower_right)
    case("mask", mask=boolean("mask/mask", [B, H, LQ, LK], 0.6))
    case("key mask", mask=boolean("key mask/keyMask", [B, 1, 1, LK], 0.6))
    # Every third query may attend to nothing.
    rows = boolean("empty rows/mask", [B, 1, LQ, LK], 0.6) & (torch.arange(LQ) % 3 != 0)[:, None]
    case("empty rows", mask=rows)
    for form in ([1, H, LQ, LK], [B, 1, LQ, LK], [B, H, 1, LK], [1, 1, 1, LK]):
        name = f"bias {'x'.join(map(str, form))}"
        case(name, bias=normal(f"{name}/bias", form))
    case("bias and mask", bias=normal("bias and mask/bias", [1, H, LQ, LK]),
         mask=boolean("bias and mask/mask", [B, 1, LQ, LK], 0.7))

    OUT.parent.mkdir(exist_ok=True)
    save_file(stored, OUT, metadata={"torch": torch.__version__})
    print(f"{len(stored)} tensors, {OUT.stat().st_size} bytes")


main()
