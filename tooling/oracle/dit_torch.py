"""A Diffusion Transformer in PyTorch, written from the paper (Peebles & Xie 2023) with the weight names that facebookresearch/DiT's
checkpoints have. The oracle for packages/dit-model; run in float64."""

import math

import torch
import torch.nn.functional as F
from torch import nn


def sincos_positions(dim: int, rows: int, columns: int) -> torch.Tensor:
    """[1, rows*columns, dim]: sin, cos of the column in the first half, of the row in the second."""
    freq = 10000.0 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim // 4))
    r, c = torch.meshgrid(
        torch.arange(rows, dtype=torch.float64), torch.arange(columns, dtype=torch.float64), indexing="ij"
    )
    angles = [axis.reshape(-1, 1) * freq for axis in (c, r)]
    return torch.cat([part for a in angles for part in (a.sin(), a.cos())], dim=1)[None]


def timestep_sinusoids(t: torch.Tensor, dim: int = 256) -> torch.Tensor:
    half = dim // 2
    freq = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64) / half)
    angles = t.to(torch.float64)[:, None] * freq
    return torch.cat([angles.cos(), angles.sin()], dim=1)


class PatchEmbed(nn.Module):
    def __init__(self, channels, hidden, patch):
        super().__init__()
        self.proj = nn.Conv2d(channels, hidden, patch, stride=patch)

    def forward(self, x):
        return self.proj(x).flatten(2).mT


class TimestepEmbedder(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(256, hidden), nn.SiLU(), nn.Linear(hidden, hidden))

    def forward(self, t):
        return self.mlp(timestep_sinusoids(t).to(self.mlp[0].weight.dtype))


class LabelEmbedder(nn.Module):
    def __init__(self, classes, hidden):
        super().__init__()
        self.embedding_table = nn.Embedding(classes + 1, hidden)


class Attention(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).view(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.mT / math.sqrt(c // self.heads), dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(b, n, c))


class MLP(nn.Module):
    def __init__(self, hidden, inner):
        super().__init__()
        self.fc1 = nn.Linear(hidden, inner)
        self.fc2 = nn.Linear(inner, hidden)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x), approximate="tanh"))


def modulated_norm(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale[:, None]) + shift[:, None]


class Block(nn.Module):
    def __init__(self, hidden, heads, mlp_ratio):
        super().__init__()
        self.attn = Attention(hidden, heads)
        self.mlp = MLP(hidden, int(hidden * mlp_ratio))
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 6 * hidden))

    def forward(self, x, c):
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.adaLN_modulation(c).chunk(6, dim=1)
        x = x + gate_a[:, None] * self.attn(modulated_norm(x, shift_a, scale_a))
        return x + gate_m[:, None] * self.mlp(modulated_norm(x, shift_m, scale_m))


class FinalLayer(nn.Module):
    def __init__(self, hidden, out):
        super().__init__()
        self.linear = nn.Linear(hidden, out)
        self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, 2 * hidden))

    def forward(self, x, c):
        shift, scale = self.adaLN_modulation(c).chunk(2, dim=1)
        return self.linear(modulated_norm(x, shift, scale))


class DiT(nn.Module):
    """Labels are class numbers, `classes` the null class; `classes=0` is unconditional."""

    def __init__(self, size, patch, channels, hidden, depth, heads, classes=0, mlp_ratio=4.0, learn_sigma=False):
        super().__init__()
        self.grid = (size[0] // patch, size[1] // patch)
        self.patch = patch
        self.out_channels = channels * (2 if learn_sigma else 1)
        self.x_embedder = PatchEmbed(channels, hidden, patch)
        self.t_embedder = TimestepEmbedder(hidden)
        if classes:
            self.y_embedder = LabelEmbedder(classes, hidden)
        self.pos_embed = nn.Parameter(sincos_positions(hidden, *self.grid), requires_grad=False)
        self.blocks = nn.ModuleList(Block(hidden, heads, mlp_ratio) for _ in range(depth))
        self.final_layer = FinalLayer(hidden, patch * patch * self.out_channels)

    def forward(self, x, t, y=None):
        h = self.x_embedder(x) + self.pos_embed
        c = self.t_embedder(t)
        if y is not None:
            c = c + self.y_embedder.embedding_table(y)
        for block in self.blocks:
            h = block(h, c)
        rows, columns = self.grid
        patches = self.final_layer(h, c).view(-1, rows, columns, self.patch, self.patch, self.out_channels)
        image = patches.permute(0, 5, 1, 3, 2, 4)
        return image.reshape(-1, self.out_channels, rows * self.patch, columns * self.patch)
