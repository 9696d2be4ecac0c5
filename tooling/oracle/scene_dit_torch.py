"""SceneDiT in PyTorch, with PointNet as its scene encoder and the weight names of packages/dit-model. The oracle for its blocks,
norms, conditions and masks; run in float64."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from dit_torch import MLP, TimestepEmbedder


class RMSNorm(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


def attend(q, k, v, mask):
    """q, k, v [B, N, H, D]; mask [B, keys], true takes part."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(q.shape[-1])
    weights = torch.softmax(scores.masked_fill(~mask[:, None, None], -math.inf), dim=-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2)


class Projection(nn.Module):
    """Queries, keys and values of tokens; `parts` 2 are keys and values alone."""

    def __init__(self, hidden, heads, qk_norm, name, parts):
        super().__init__()
        self.heads, self.name, self.parts = heads, name, parts
        setattr(self, name, nn.Linear(hidden, parts * hidden))
        if qk_norm:
            if parts == 3:
                self.q_norm = RMSNorm(hidden // heads)
            self.k_norm = RMSNorm(hidden // heads)

    def split(self, x):
        packed = getattr(self, self.name)(x)
        *q, k, v = packed.view(*x.shape[:2], self.parts, self.heads, -1).unbind(2)
        if hasattr(self, "k_norm"):
            q, k = [self.q_norm(each) for each in q], self.k_norm(k)
        return *q, k, v


class SelfAttention(Projection):
    def __init__(self, hidden, heads, qk_norm):
        super().__init__(hidden, heads, qk_norm, "qkv", 3)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x, mask):
        return self.proj(attend(*self.split(x), mask))


class CrossAttention(Projection):
    def __init__(self, hidden, heads, qk_norm):
        super().__init__(hidden, heads, qk_norm, "kv", 2)
        self.q = nn.Linear(hidden, hidden)
        if qk_norm:
            self.q_norm = RMSNorm(hidden // heads)
        self.proj = nn.Linear(hidden, hidden)

    def forward(self, x, context, mask):
        q = self.q(x).view(*x.shape[:2], self.heads, -1)
        q = self.q_norm(q) if hasattr(self, "q_norm") else q
        return self.proj(attend(q, *self.split(context), mask))


class Conditioned(nn.Module):
    """Branches h + gate * f(norm(h)); rows of the modulation: shift, scale, gate of each branch."""

    def __init__(self, hidden, branches, conditioning):
        super().__init__()
        self.rows = {"none": 0, "adaLN": 2, "adaLN-Zero": 3}[conditioning]
        if self.rows:
            self.adaLN_modulation = nn.Sequential(nn.SiLU(), nn.Linear(hidden, branches * self.rows * hidden))
        else:
            self.norms = nn.ModuleList(nn.LayerNorm(hidden, eps=1e-6) for _ in range(branches))

    def modulation(self, c):
        return self.adaLN_modulation(c).view(c.shape[0], -1, 1, c.shape[1]) if self.rows else None

    def normed(self, i, h, m):
        if m is None:
            return self.norms[i](h)
        return F.layer_norm(h, h.shape[-1:], eps=1e-6) * (1 + m[:, i * self.rows + 1]) + m[:, i * self.rows]

    def joined(self, i, h, m, y):
        return h + (m[:, i * self.rows + 2] * y if self.rows == 3 else y)


class Block(Conditioned):
    def __init__(self, hidden, heads, conditioning, qk_norm):
        super().__init__(hidden, 4, conditioning)
        self.attn = SelfAttention(hidden, heads, qk_norm)
        self.scene_attn = CrossAttention(hidden, heads, qk_norm)
        self.text_attn = CrossAttention(hidden, heads, qk_norm)
        self.mlp = MLP(hidden, 4 * hidden)

    def forward(self, h, c, mask, scene, scene_mask, text, text_mask):
        m = self.modulation(c)
        h = self.joined(0, h, m, self.attn(self.normed(0, h, m), mask))
        h = self.joined(1, h, m, self.scene_attn(self.normed(1, h, m), scene, scene_mask))
        h = self.joined(2, h, m, self.text_attn(self.normed(2, h, m), text, text_mask))
        return self.joined(3, h, m, self.mlp(self.normed(3, h, m)))


class Stream(Conditioned):
    def __init__(self, hidden, heads, conditioning, qk_norm, last=False):
        super().__init__(hidden, 1 if last else 2, conditioning)
        self.attn = Projection(hidden, heads, qk_norm, "kv", 2) if last else SelfAttention(hidden, heads, qk_norm)
        if not last:
            self.mlp = MLP(hidden, 4 * hidden)

    def finish(self, h, m, attended):
        h = self.joined(0, h, m, self.attn.proj(attended))
        return self.joined(1, h, m, self.mlp(self.normed(1, h, m)))


class DoubleStreamBlock(nn.Module):
    def __init__(self, hidden, heads, conditioning, qk_norm, last):
        super().__init__()
        self.last = last
        self.pose = Stream(hidden, heads, conditioning, qk_norm)
        self.context = Stream(hidden, heads, conditioning, qk_norm, last)

    def forward(self, h, context, c, mask):
        streams = ((self.pose, h), (self.context, context))
        ms = [stream.modulation(c) for stream, _ in streams]
        parts = [stream.attn.split(stream.normed(0, x, m)) for (stream, x), m in zip(streams, ms)]
        queries = torch.cat([part[0] for part in parts[: 1 if self.last else 2]], dim=1)
        keys, values = (torch.cat([part[i] for part in parts], dim=1) for i in (-2, -1))
        attended, poses = attend(queries, keys, values, mask), h.shape[1]
        h = self.pose.finish(h, ms[0], attended[:, :poses])
        return h, context if self.last else self.context.finish(context, ms[1], attended[:, poses:])


class PointNet(nn.Module):
    def __init__(self, channels, widths):
        super().__init__()
        self.mlp = nn.Module()
        self.mlp.layers = nn.ModuleList(nn.Linear(i, o) for i, o in zip((channels, *widths), widths))
        self.norm = nn.LayerNorm(widths[-1])

    def forward(self, points, mask):
        for layer in self.mlp.layers:
            points = F.relu(layer(points))
        return self.norm(points.masked_fill(~mask[..., None], -math.inf).amax(1))[:, None]


class TokenEmbedder(nn.Module):
    """Tokens, and a learned one where a sample has none."""

    def __init__(self, width, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.proj = nn.Linear(width, hidden)
        self.null_token = nn.Parameter(torch.zeros(1, 1, hidden))

    def forward(self, tokens, mask):
        present = mask.any(1, keepdim=True)
        first = torch.arange(tokens.shape[1])[None] == 0
        return torch.where(present[..., None], self.proj(self.norm(tokens)), self.null_token), torch.where(present, mask, first)


class Condition(nn.Module):
    def __init__(self, channels, widths, text_dim, hidden):
        super().__init__()
        self.scene = PointNet(channels, widths)
        self.scene_embedder = TokenEmbedder(widths[-1], hidden)
        self.text_embedder = TokenEmbedder(text_dim, hidden)


class Output(Conditioned):
    def __init__(self, hidden, out, conditioning):
        super().__init__(hidden, 1, "none" if conditioning == "none" else "adaLN")
        self.linear = nn.Linear(hidden, out)

    def forward(self, h, c):
        return self.linear(self.normed(0, h, self.modulation(c)))


class SceneDiT(nn.Module):
    def __init__(self, pose=10, hidden=16, depth=2, heads=2, channels=6, widths=(8, 12), text_dim=5, conditioning="adaLN-Zero",
                 double_stream=False, qk_norm=False, pooled=False, time_gate=False, positions=0):
        super().__init__()
        self.conditioning, self.double_stream = conditioning, double_stream
        self.x_embedder = MLP(pose, hidden)
        self.x_embedder.fc2 = nn.Linear(hidden, hidden)
        if positions:
            self.pose_positions = nn.Parameter(torch.zeros(1, positions, hidden))
        self.t_embedder = TimestepEmbedder(hidden)
        self.condition = Condition(channels, widths, text_dim, hidden)
        if pooled:
            self.scene_pool = nn.Linear(hidden, hidden)
            self.text_pool = nn.Linear(hidden, hidden)
        if time_gate:
            self.time_gate = nn.Linear(hidden, hidden)
        self.blocks = nn.ModuleList(
            DoubleStreamBlock(hidden, heads, conditioning, qk_norm, i == depth - 1) if double_stream
            else Block(hidden, heads, conditioning, qk_norm)
            for i in range(depth)
        )
        self.final_layer = Output(hidden, pose, conditioning)

    def forward(self, x, t, mask, points, point_mask, text, text_mask):
        embedders = self.condition
        scene = embedders.scene(points.masked_fill(~point_mask[..., None], 0), point_mask)
        scene, scene_mask = embedders.scene_embedder(scene, point_mask.any(1, keepdim=True))
        text, text_mask = embedders.text_embedder(text, text_mask)
        h, c = self.x_embedder(x.masked_fill(~mask[..., None], 0)), self.t_embedder(t)
        if self.conditioning == "none":
            h = h + c[:, None]
        if hasattr(self, "pose_positions"):
            h = h + self.pose_positions[:, : x.shape[1]]
        if hasattr(self, "time_gate"):
            gate = 2 * torch.sigmoid(self.time_gate(c))[:, None]
        if hasattr(self, "scene_pool"):
            mean = lambda tokens, m: (tokens * m[..., None]).sum(1) / m.sum(1, keepdim=True)
            c = c + self.scene_pool(mean(scene, scene_mask)) + self.text_pool(mean(text, text_mask))
        if hasattr(self, "time_gate"):
            scene, text = scene * gate, text * gate
        if self.double_stream:
            context, joint = torch.cat([scene, text], 1), torch.cat([mask, scene_mask, text_mask], 1)
        for block in self.blocks:
            if self.double_stream:
                h, context = block(h, context, c, joint)
            else:
                h = block(h, c, mask, scene, scene_mask, text, text_mask)
        return self.final_layer(h, c).masked_fill(~mask[..., None], 0)
