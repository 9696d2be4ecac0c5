"""Writes packages/nn/test/fixtures: layers with their gradients, and optimizers, from PyTorch in float64.
Run: python tooling/oracle/nn_fixtures.py (needs torch, numpy, safetensors)."""

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from hash_values import hash_normal, hash_weight

OUT = Path(__file__).resolve().parents[2] / "packages/nn/test/fixtures"
DTYPE = torch.float64


def normal(name: str, *shape: int) -> torch.Tensor:
    return torch.from_numpy(hash_normal(name, shape))


def fill(module: nn.Module, prefix: str) -> nn.Module:
    module = module.to(DTYPE)
    with torch.no_grad():
        for name, p in module.named_parameters():
            p.copy_(torch.from_numpy(hash_weight(prefix + name, tuple(p.shape))))
    return module


def record(result: dict, name: str, module: nn.Module, out: torch.Tensor, inputs: dict) -> None:
    out.backward(normal(f"{name}/gradient", *out.shape))
    result[f"{name}/out"] = out.detach().contiguous()
    for key, p in {**dict(module.named_parameters()), **inputs}.items():
        result[f"{name}/{key}.grad"] = p.grad.contiguous()


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(10, 23)
        self.fc2 = nn.Linear(23, 6)

    def forward(self, x):
        return self.fc2(nn.functional.gelu(self.fc1(x), approximate="tanh"))


def layers() -> None:
    result: dict = {}
    for name, module in {
        "linear": nn.Linear(10, 7),
        "layer-norm": nn.LayerNorm(10),
        "rms-norm": nn.RMSNorm(10, eps=1e-6),
        "mlp": MLP(),
    }.items():
        fill(module, f"{name}/")
        x = normal(f"{name}/x", 2, 5, 10).requires_grad_()
        record(result, name, module, module(x), {"x": x})
    # PyTorch's key_padding_mask says what is blocked.
    blocked = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    attention = fill(nn.MultiheadAttention(12, 3, batch_first=True), "self-attention/")
    x = normal("self-attention/x", 2, 5, 12).requires_grad_()
    out, _ = attention(x, x, x, key_padding_mask=blocked, need_weights=False)
    record(result, "self-attention", attention, out, {"x": x})
    attention = fill(nn.MultiheadAttention(12, 3, batch_first=True), "cross-attention/")
    x, memory = (normal(f"cross-attention/{key}", 2, n, 12).requires_grad_() for key, n in (("x", 4), ("memory", 5)))
    out, _ = attention(x, memory, memory, key_padding_mask=blocked, need_weights=False)
    record(result, "cross-attention", attention, out, {"x": x, "memory": memory})
    attention = fill(nn.MultiheadAttention(12, 3, kdim=8, vdim=9, batch_first=True), "three-widths/")
    x, key, value = (
        normal(f"three-widths/{name}", 2, n, width).requires_grad_()
        for name, n, width in (("x", 4, 12), ("key", 5, 8), ("value", 5, 9))
    )
    out, _ = attention(x, key, value, key_padding_mask=blocked, need_weights=False)
    record(result, "three-widths", attention, out, {"x": x, "key": key, "value": value})
    save_file({key: value.float() for key, value in result.items()}, OUT / "layers.safetensors")


SHAPES = {"body.weight": (7, 5), "body.bias": (7,), "head.weight": (3, 7)}


def parameters(prefix: str) -> dict:
    return {
        name: nn.Parameter(torch.from_numpy(hash_weight(prefix + name, shape))) for name, shape in SHAPES.items()
    }


def set_gradients(params: dict, prefix: str) -> None:
    for name, p in params.items():
        p.grad = normal(prefix + name, *p.shape)


def optimizers(steps: int = 6) -> None:
    result: dict = {}
    params = parameters("adamw/")
    shadow = {name: p.detach().clone() for name, p in params.items()}
    groups = [
        {"params": [params["body.weight"]], "weight_decay": 0.1},
        {"params": [params["body.bias"]], "weight_decay": 0.0},
        {"params": [params["head.weight"]], "weight_decay": 0.05},
    ]
    adamw = torch.optim.AdamW(groups, betas=(0.8, 0.95), eps=1e-3)
    norms = []
    for step in range(steps):
        set_gradients(params, f"adamw/{step}/")
        norms.append(nn.utils.clip_grad_norm_(params.values(), 2.5).item())
        for group, scale in zip(adamw.param_groups, (1, 1, 0.5)):
            group["lr"] = scale * 0.01 * (step + 1)
        adamw.step()
        for name, p in params.items():
            shadow[name].mul_(0.9).add_(p.detach(), alpha=0.1)
    result["adamw/norms"] = torch.tensor(norms, dtype=DTYPE)
    for name, p in params.items():
        result[f"adamw/{name}"] = p.detach()
        result[f"adamw/{name}.exp_avg"] = adamw.state[p]["exp_avg"]
        result[f"adamw/{name}.exp_avg_sq"] = adamw.state[p]["exp_avg_sq"]
        result[f"adamw/{name}.ema"] = shadow[name]

    for variant, options in {
        "sgd": dict(weight_decay=0.02),
        "sgd-momentum": dict(momentum=0.9),
        "sgd-nesterov": dict(momentum=0.9, nesterov=True, weight_decay=0.02),
    }.items():
        params = parameters(f"{variant}/")
        sgd = torch.optim.SGD(params.values(), lr=0.05, **options)
        for step in range(steps):
            set_gradients(params, f"{variant}/{step}/")
            sgd.step()
        for name, p in params.items():
            result[f"{variant}/{name}"] = p.detach()
    save_file(result, OUT / "optimizers.safetensors")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    layers()
    optimizers()
