"""Writes packages/dit-model/test/fixtures/scene-dit-*.safetensors: outputs and gradients of SceneDiTs, from PyTorch in float64. Run:
python tooling/oracle/scene_dit_fixtures.py (needs torch, numpy, safetensors)."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from hash_values import hash_normal, hash_weight
from scene_dit_torch import SceneDiT

OUT = Path(__file__).resolve().parents[2] / "packages/dit-model/test/fixtures"

# The tests name the same configurations (test/scene-pytorch.test.ts).
CONFIGS = {
    "cross": dict(),
    "options": dict(qk_norm=True, pooled=True, time_gate=True, positions=4),
    "adaln": dict(conditioning="adaLN", time_gate=True),
    "plain": dict(conditioning="none", qk_norm=True),
    "double-stream": dict(double_stream=True, qk_norm=True, pooled=True),
    "double-stream-plain": dict(double_stream=True, conditioning="none"),
}


def mask(batch: int, length: int, less: int) -> torch.Tensor:
    """Sample b has its first length - less * b tokens."""
    return torch.arange(length)[None] < length - less * torch.arange(batch)[:, None]


def write(name: str, config: dict) -> None:
    model = SceneDiT(**config).double()
    with torch.no_grad():
        for key, p in model.named_parameters():
            p.copy_(torch.from_numpy(hash_weight(f"{name}/{key}", tuple(p.shape))))
    hashed = lambda key, *shape: torch.from_numpy(hash_normal(f"{name}/{key}", shape)).requires_grad_()
    x, points, text = hashed("x", 3, 3, 10), hashed("points", 3, 11, 6), hashed("text", 3, 4, 5)
    # The last sample has no text.
    masks = mask(3, 3, 1), mask(3, 11, 3), mask(3, 4, 2)
    out = model(x, torch.tensor([3.5, 700.0, 42.0], dtype=torch.float64), masks[0], points, masks[1], text, masks[2])
    out.backward(torch.from_numpy(hash_normal(f"{name}/gradient", tuple(out.shape))))
    result = {"out": out, "x.grad": x.grad, "points.grad": points.grad, "text.grad": text.grad}
    result |= {f"{key}.grad": p.grad for key, p in model.named_parameters()}
    save_file({key: v.detach().float().contiguous() for key, v in result.items()}, OUT / f"scene-dit-{name}.safetensors")


if __name__ == "__main__":
    for name, config in CONFIGS.items():
        write(name, config)
