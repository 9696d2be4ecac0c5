"""PyTorch's side of `ditkit bench --peer torch`: reads a case as one line of JSON, then runs it once per line.

f32, no autocast, the given number of threads. The model follows Peebles & Xie, "Scalable Diffusion Models with
Transformers", and has the shapes that ditkit's side has.
"""

import json
import math
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.norm2 = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 6 * width))

    def forward(self, x, c):
        shift1, scale1, gate1, shift2, scale2, gate2 = self.modulation(c).unsqueeze(1).chunk(6, dim=-1)
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm1(x) * (1 + scale1) + shift1)
        q, k, v = qkv.reshape(batch, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
        x = x + gate1 * self.proj(attended)
        hidden = F.gelu(self.fc1(self.norm2(x) * (1 + scale2) + shift2), approximate="tanh")
        return x + gate2 * self.fc2(hidden)


class DiT(nn.Module):
    def __init__(self, size, patch, channels, width, depth, heads, classes):
        super().__init__()
        self.patch = patch
        tokens = (size // patch) ** 2
        self.embed = nn.Conv2d(channels, width, patch, stride=patch)
        self.positions = nn.Parameter(torch.randn(1, tokens, width) * 0.02, requires_grad=False)
        self.time = nn.Sequential(nn.Linear(256, width), nn.SiLU(), nn.Linear(width, width))
        self.labels = nn.Embedding(classes + 1, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width, elementwise_affine=False, eps=1e-6)
        self.modulation = nn.Sequential(nn.SiLU(), nn.Linear(width, 2 * width))
        self.out = nn.Linear(width, patch * patch * channels)

    def forward(self, x, t, y):
        frequencies = torch.exp(-math.log(10000) * torch.arange(128) / 128)
        angles = t[:, None] * frequencies[None]
        c = self.time(torch.cat([angles.cos(), angles.sin()], dim=-1)) + self.labels(y)
        batch, channels, height, width = x.shape
        h = self.embed(x).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            h = block(h, c)
        shift, scale = self.modulation(c).unsqueeze(1).chunk(2, dim=-1)
        h = self.out(self.norm(h) * (1 + scale) + shift)
        side = height // self.patch
        h = h.reshape(batch, side, side, self.patch, self.patch, channels)
        return h.permute(0, 5, 1, 3, 2, 4).reshape(batch, channels, height, width)


def step_case(p):
    model = DiT(p["size"], p["patch"], p["channels"], p["width"], p["depth"], p["heads"], p["classes"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    x = torch.randn(p["batch"], p["channels"], p["size"], p["size"])
    target = torch.randn_like(x)
    t = torch.rand(p["batch"]) * 1000
    y = torch.randint(0, p["classes"], (p["batch"],))

    def run():
        loss = F.mse_loss(model(x, t, y), target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return run


def gemm_case(p):
    a = torch.randn(p["m"], p["k"])
    weight = torch.randn(p["n"], p["k"])
    bias = torch.randn(p["n"])

    def run():
        for _ in range(p["repeat"]):
            F.linear(a, weight, bias)

    return run


def attention_case(p):
    make = lambda tokens: torch.randn(p["batch"], tokens, p["heads"], p["dim"]).transpose(1, 2).requires_grad_()
    q, k, v = make(p["queries"]), make(p["keys"]), make(p["keys"])
    bias = torch.randn(1, 1, p["queries"], p["keys"]) if p["bias"] else None
    upstream = torch.randn_like(q)

    def run():
        for _ in range(p["repeat"]):
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            if p["backward"]:
                torch.autograd.grad(out, (q, k, v), upstream)

    def forward():
        with torch.no_grad():
            run()

    return run if p["backward"] else forward


def main():
    problem = json.loads(sys.stdin.readline())
    torch.set_num_threads(problem["threads"])
    torch.manual_seed(0)
    run = {"step": step_case, "gemm": gemm_case, "attention": attention_case}[problem["case"]](problem)
    print(json.dumps({"name": f"PyTorch {torch.__version__}"}), flush=True)
    for _ in sys.stdin:
        start = time.perf_counter()
        run()
        print(json.dumps({"seconds": time.perf_counter() - start}), flush=True)


if __name__ == "__main__":
    main()
