"""How far PyTorch's bf16 autocast takes a DiT's output and gradients from float64: the figures beside ours in the README of
packages/dit-model. Run: python tooling/oracle/bf16_autocast.py (needs torch, numpy)."""

import torch
import torch.nn.functional as F

from dit_fixtures import BLOBS, hashed_input, hashed_model, tensor
from dit_torch import Attention
from hash_values import hash_integers, hash_normal

DIT_S = dict(size=(32, 32), patch=2, channels=4, hidden=384, depth=12, heads=6, classes=1000)


def fused(self: Attention, x: torch.Tensor) -> torch.Tensor:
    """What a user of autocast runs."""
    b, n, c = x.shape
    q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
    return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c))


def evaluate(name: str, config: dict, batch: int, dtype: torch.dtype, autocast: bool):
    model = hashed_model(config, f"{name}/").to(dtype)
    x = hashed_input(config, f"{name}/", batch).to(dtype)
    target = tensor(hash_normal(f"{name}/target", tuple(x.shape))).to(dtype)
    t = torch.arange(batch, dtype=torch.float64) * 100 + 37.5
    y = tensor(hash_integers(f"{name}/y", batch, config["classes"])).long()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        out = model(x, t, y)
    loss = F.mse_loss(out.to(dtype), target)
    loss.backward()
    gradients = []
    for key, p in model.named_parameters():
        if p.grad is None:
            continue
        g = p.grad.double().flatten()
        # The gradient of the keys' bias is exactly 0: only round-off could be compared.
        third = g.numel() // 3
        gradients.append(torch.cat([g[:third], g[2 * third :]]) if "attn.qkv.bias" in key else g)
    return loss.item(), out.detach().double().flatten(), gradients


def distance(actual: torch.Tensor, expected: torch.Tensor) -> float:
    return ((actual - expected).norm() / expected.norm()).item()


Attention.forward = fused
for name, config, batch in (("blobs", BLOBS, 8), ("dit-s", DIT_S, 2)):
    loss, out, gradients = evaluate(name, config, batch, torch.float64, False)
    l, o, g = evaluate(name, config, batch, torch.float32, True)
    worst = max(distance(a, b) for a, b in zip(g, gradients))
    whole = distance(torch.cat(g), torch.cat(gradients))
    print(f"{name}: loss {l / loss - 1:.1e}, output {distance(o, out):.1e}, gradients {whole:.1e}, worst {worst:.1e}")
