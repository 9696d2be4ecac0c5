"""Writes packages/dit-model/test/fixtures: DiT outputs and gradients, a training replay, and a training checkpoint, from PyTorch
in float64. Run: python tooling/oracle/dit_fixtures.py (needs torch, numpy, safetensors)."""

import argparse
import copy
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from dit_torch import DiT
from hash_values import count_sketch, hash_integers, hash_normal, hash_weight

OUT = Path(__file__).resolve().parents[2] / "packages/dit-model/test/fixtures"
SKETCH_BUCKETS = 1024

# The tests name the same configurations (test/configs.ts).
CONDITIONAL = dict(size=(6, 10), patch=2, channels=3, hidden=36, depth=2, heads=3, classes=5, learn_sigma=True)
UNCONDITIONAL = dict(size=(8, 8), patch=4, channels=1, hidden=20, depth=1, heads=1, mlp_ratio=2.5)
BLOBS = dict(size=(16, 16), patch=4, channels=1, hidden=128, depth=4, heads=4, classes=10)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values)


def hashed_model(config: dict, prefix: str) -> DiT:
    model = DiT(**config).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name != "pos_embed":
                p.copy_(tensor(hash_weight(prefix + name, tuple(p.shape))))
    return model


def hashed_input(config: dict, prefix: str, batch: int) -> torch.Tensor:
    return tensor(hash_normal(prefix + "x", (batch, config["channels"], *config["size"])))


def f32(t: torch.Tensor) -> torch.Tensor:
    return t.detach().to(torch.float32).contiguous()


def forward_and_gradients(name: str, config: dict, t: list, y: list | None) -> None:
    model = hashed_model(config, name + "/")
    x = hashed_input(config, name + "/", len(t)).requires_grad_()
    out = model(x, torch.tensor(t, dtype=torch.float64), None if y is None else torch.tensor(y))
    out.backward(tensor(hash_normal(name + "/gradient", tuple(out.shape))))
    result = {"out": f32(out), "x.grad": f32(x.grad), "pos_embed": f32(model.pos_embed)}
    for key, p in model.named_parameters():
        if p.grad is not None:
            result[key + ".grad"] = f32(p.grad)
    save_file(result, OUT / f"dit-{name}.safetensors")


def blobs_replay(steps: int = 20) -> None:
    """20 AdamW steps on noise prediction: linear betas over T = 100, clipping at 1, EMA 0.99."""
    total, batch, decay = 100, 64, 0.99
    betas = np.linspace(1e-4 * 1000 / total, 0.02 * 1000 / total, total)
    alphas_cumprod = np.cumprod(1.0 - betas)
    model = hashed_model(BLOBS, "blobs/")
    ema = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01
    )
    losses, norms = [], []
    for step in range(steps):
        prefix = f"blobs/{step}/"
        x = hashed_input(BLOBS, prefix, batch)
        noise = tensor(hash_normal(prefix + "noise", tuple(x.shape)))
        t = hash_integers(prefix + "t", batch, total)
        y = tensor(hash_integers(prefix + "y", batch, 11))
        a = tensor(alphas_cumprod[t]).view(-1, 1, 1, 1)
        loss = ((model(a.sqrt() * x + (1 - a).sqrt() * noise, tensor(t), y) - noise) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0).item())
        optimizer.step()
        with torch.no_grad():
            for shadow, p in zip(ema.parameters(), model.parameters()):
                shadow.mul_(decay).add_(p, alpha=1 - decay)
        losses.append(loss.item())
    result = {"losses": torch.tensor(losses), "norms": torch.tensor(norms)}
    for kind, source in (("model", model), ("ema", ema)):
        for name, p in source.named_parameters():
            if name == "pos_embed":
                continue
            small = p.numel() <= SKETCH_BUCKETS
            sketch = f32(p) if small else tensor(count_sketch(name, p.detach().numpy(), SKETCH_BUCKETS)).float()
            result[f"{kind}.{name}"] = sketch
    save_file(result, OUT / "blobs-replay.safetensors")
    print("blobs", losses[0], "->", losses[-1], "norms", norms[0], norms[-1])


def training_checkpoint() -> None:
    """What a training script saves: {model, ema, opt, args}, args an argparse.Namespace."""
    config = dict(size=(4, 4), patch=2, channels=4, hidden=16, depth=2, heads=2, classes=3, learn_sigma=True)
    model = hashed_model(config, "checkpoint/").float()
    model.pos_embed.data = model.pos_embed.data.float()
    ema = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0)
    x = hashed_input(config, "checkpoint/", 2).float()
    t, y = torch.tensor([3, 700]), torch.tensor([2, 3])
    model(x, t, y).square().mean().backward()
    optimizer.step()
    args = argparse.Namespace(model="DiT-S/2", image_size=256, num_classes=3, epochs=1400, global_seed=0)
    checkpoint = {"model": model.state_dict(), "ema": ema.state_dict(), "opt": optimizer.state_dict(), "args": args}
    torch.save(checkpoint, OUT / "training-checkpoint.pt")
    torch.save(ema.state_dict(), OUT / "state-dict.pt")
    outputs = {}
    with torch.no_grad():
        for name, source in (("model", model), ("ema", ema)):
            outputs[name] = f32(source.double()(x.double(), t, y))
    save_file(outputs, OUT / "training-checkpoint-outputs.safetensors")


if __name__ == "__main__":
    OUT.mkdir(parents=True, exist_ok=True)
    forward_and_gradients("conditional", CONDITIONAL, [0.0, 37.25, 999.0], [4, 5, 0])
    forward_and_gradients("unconditional", UNCONDITIONAL, [12.5, 870.0], None)
    training_checkpoint()
    blobs_replay()
