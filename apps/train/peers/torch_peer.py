"""PyTorch's side of `ditkit bench`: answers one line of JSON with one (src/bench/peer-process.ts says which).

Runs with PyTorch 1.13 and later. f32 unless a step asks for bf16 autocast. The model follows Peebles & Xie, "Scalable
Diffusion Models with Transformers", and has the shapes that ditkit's side has; the training loop is the one people write.
"""

import contextlib
import ctypes
import json
import math
import os
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

CHECKED_ROWS = 16


def scaled_dot_product_attention(q, k, v, attn_mask=None, scale=None):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=attn_mask, scale=scale)
    scores = q @ k.transpose(-2, -1) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1) @ v


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
        attended = scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(batch, tokens, width)
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


class Gemm:
    def __init__(self, p):
        self.x = torch.randn(p["m"], p["k"])
        self.weight = torch.randn(p["n"], p["k"])

    def run(self):
        with torch.no_grad():
            F.linear(self.x, self.weight)

    def accuracy(self):
        """The largest error against float64 in some rows, over the largest entry."""
        rows = [i * self.x.shape[0] // CHECKED_ROWS for i in range(CHECKED_ROWS)]
        exact = F.linear(self.x[rows].double(), self.weight.double())
        return ((F.linear(self.x, self.weight)[rows] - exact).abs().max() / exact.abs().max()).item()


class Attention:
    def __init__(self, p):
        batch, heads, queries, keys, dim = (p[name] for name in ("batch", "heads", "queries", "keys", "dim"))
        self.backward, self.bias, self.dim, self.pad_values = p["backward"], p["bias"], dim, p.get("padValues", False)

        def tokens(batch, count, heads, dim):
            return torch.randn(batch, count, heads, dim).transpose(1, 2).requires_grad_(self.backward)

        self.qkv = [tokens(batch, queries, heads, dim), tokens(batch, keys, heads, dim), tokens(batch, keys, heads, dim)]
        self.extra = []
        self.mask = None
        if self.bias == "dense":
            self.extra = [torch.randn(1, 1, queries, keys, requires_grad=self.backward)]
        elif self.bias != "none":
            pairs = 1 if self.bias == "shared factors" else heads
            self.extra = [tokens(1, queries, pairs, p["rank"]), tokens(1, keys, pairs, p["rank"])]
        if p.get("lengths"):
            self.mask = torch.arange(keys)[None, None, None, :] < torch.tensor(p["lengths"])[:, None, None, None]
        self.upstream = torch.randn_like(self.qkv[0])

    def forward(self):
        q, k, v = self.qkv
        if not self.extra or self.bias == "dense":
            return scaled_dot_product_attention(q, k, v, attn_mask=self.extra[0] if self.extra else self.mask)
        # [q * scale, fq] . [k, fk] = scale * q . k + fq . fk
        batch, heads = q.shape[:2]
        fq, fk = (factor.expand(batch, heads, -1, -1) for factor in self.extra)
        q, k = torch.cat([q / math.sqrt(self.dim), fq], -1), torch.cat([k, fk], -1)
        if self.pad_values:
            v = F.pad(v, (0, q.shape[-1] - self.dim))
        return scaled_dot_product_attention(q, k, v, scale=1.0)[..., : self.dim]

    def run(self):
        if self.backward:
            return torch.autograd.grad(self.forward(), self.qkv + self.extra, self.upstream)
        with torch.no_grad():
            return self.forward()

    def memory(self):
        """What a run takes at its peak beyond what it returns, from the high-water mark of resident memory (Linux)."""
        ctypes.CDLL(None).malloc_trim(0)  # what earlier problems left would be used unseen
        before = memory_of_process("VmRSS")
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
        out = self.run()
        results = sum(t.numel() * 4 for t in (out if self.backward else [out])) + self.backward * self.upstream.numel() * 4
        return memory_of_process("VmHWM") - before - results


def memory_of_process(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


class Step:
    def __init__(self, p):
        model = DiT(p["size"], p["patch"], p["channels"], p["width"], p["depth"], p["heads"], p["classes"])
        self.parameters = list(model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4)
        self.model = torch.compile(model) if p.get("compile") else model
        self.autocast = p["dtype"] == "bf16"
        self.x = torch.randn(p["batch"], p["channels"], p["size"], p["size"])
        self.target = torch.randn_like(self.x)
        self.t = torch.rand(p["batch"]) * 1000
        self.y = torch.randint(0, p["classes"], (p["batch"],))

    def run(self):
        with torch.autocast("cpu", dtype=torch.bfloat16) if self.autocast else contextlib.nullcontext():
            loss = F.mse_loss(self.model(self.x, self.t, self.y), self.target)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)


class Op:
    def __init__(self, p):
        shape = p["rows"], p["columns"]
        x, y = torch.randn(shape, requires_grad=p["tape"]), torch.randn(shape, requires_grad=p["tape"])
        self.grad = torch.enable_grad if p["tape"] else torch.no_grad
        self.run = {
            "add": lambda: x + y,
            "mul": lambda: x * y,
            "gelu": lambda: F.gelu(x, approximate="tanh"),
            "softmax": lambda: x.softmax(-1),
            "layerNorm": lambda: F.layer_norm(x, shape[-1:]),
            "sum": lambda: x.sum(),
        }[p["op"]]


BALL_RADIUS = 0.1


class Points:
    def __init__(self, p):
        self.count = p["count"]
        self.points = torch.rand(p["batch"], p["points"], 3)
        self.queries = torch.rand(p["batch"], p["queries"], 3)
        self.run = {"farthest": self.farthest, "nearest": self.nearest, "ball": self.ball}[p["op"]]

    def farthest(self):
        samples = torch.arange(self.points.shape[0])
        farthest = (self.points - self.points.mean(1, keepdim=True)).square().sum(-1).argmax(-1)
        distances = torch.full(self.points.shape[:2], math.inf)
        chosen = []
        for _ in range(self.count):
            chosen.append(farthest)
            moved = self.points - self.points[samples, farthest].unsqueeze(1)
            torch.minimum(distances, moved.square_().sum(-1), out=distances)
            farthest = distances.argmax(-1)
        return torch.stack(chosen, 1)

    def nearest(self):
        return torch.cdist(self.queries, self.points).topk(self.count, largest=False)

    def ball(self):
        distances = torch.cdist(self.queries, self.points)
        return distances.masked_fill_(distances > BALL_RADIUS, math.inf).topk(self.count, largest=False)


class Scenes(torch.utils.data.Dataset):
    def __init__(self, count):
        lengths = torch.randint(500, 20_001, (count,)).tolist()
        self.points = [torch.randn(length, 3).numpy() for length in lengths]
        self.normals = [torch.randn(length, 3).numpy() for length in lengths]

    def __len__(self):
        return len(self.points)

    def __getitem__(self, i):
        return {"points": torch.from_numpy(self.points[i]), "normals": torch.from_numpy(self.normals[i])}


def pad_to_longest(scenes):
    shape = len(scenes), max(len(scene["points"]) for scene in scenes)
    points, normals, mask = torch.zeros(*shape, 3), torch.zeros(*shape, 3), torch.zeros(shape)
    for b, scene in enumerate(scenes):
        length = len(scene["points"])
        points[b, :length] = scene["points"]
        normals[b, :length] = scene["normals"]
        mask[b, :length] = 1
    return {"points": points, "normals": normals, "mask": mask}


class Collate:
    def __init__(self, p):
        self.loader = torch.utils.data.DataLoader(
            Scenes(p["scenes"]),
            batch_size=p["batch"],
            shuffle=True,
            num_workers=p["workers"],
            collate_fn=pad_to_longest,
            persistent_workers=p["workers"] > 0,
        )

    def run(self):
        for _ in self.loader:
            pass


CASES = {"gemm": Gemm, "attention": Attention, "step": Step, "op": Op, "points": Points, "collate": Collate}


class Entry:
    """A problem with what was asked along with it."""

    def __init__(self, message):
        torch.manual_seed(0)
        torch.set_num_threads(message["threads"])
        self.threads, self.repeats = message["threads"], message["repeats"]
        self.case = CASES[message["problem"]["kind"]](message["problem"])

    def seconds(self):
        torch.set_num_threads(self.threads)
        run = self.case.run
        if self.repeats > 1:
            run()  # caches and threads are then as they are in the middle of work
        with getattr(self.case, "grad", contextlib.nullcontext)():
            start = time.perf_counter()
            for _ in range(self.repeats):
                run()
            return (time.perf_counter() - start) / self.repeats


def answer(entries, message):
    if "make" in message:
        problem = message["problem"]
        if problem.get("compile") and not hasattr(torch, "compile"):
            return {"cannot": f"PyTorch {torch.__version__} has no torch.compile"}
        entries[message["make"]] = Entry(message)
        compiled = ", compiled" if problem.get("compile") else ""
        core = os.environ.get("OPENBLAS_CORETYPE")
        return {"name": f"PyTorch {torch.__version__.split('+')[0]}{compiled}{f', OpenBLAS {core}' if core else ''}"}
    if "run" in message:
        return {"seconds": entries[message["run"]].seconds()}
    if "accuracy" in message:
        case = entries[message["accuracy"]].case
        return {"accuracy": case.accuracy()} if hasattr(case, "accuracy") else {}
    if "memory" in message:
        case = entries[message["memory"]].case
        return {"bytes": case.memory()} if hasattr(case, "memory") and sys.platform == "linux" else {}
    del entries[message["drop"]]
    return {}


def main():
    # Answers go out where stdout went; whatever a library prints must not get between them.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    entries = {}
    for line in sys.stdin:
        try:
            result = answer(entries, json.loads(line))
        except Exception as error:  # of this problem; the next may go well
            result = {"error": f"{type(error).__name__}: {str(error).strip() or 'no message'}"[:500]}
        print(json.dumps(result), file=answers, flush=True)


if __name__ == "__main__":
    main()
