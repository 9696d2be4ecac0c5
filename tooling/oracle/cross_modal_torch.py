"""CrossModalDecoder in PyTorch, with torch.nn.MultiheadAttention and the weight names of packages/dit-model. The oracle for its positions,
masks, boxes and bias, which here is always a dense matrix; run in float64."""

import math

import torch
from torch import nn

LOW, HIGH = 0.5, 5.0


class MLP(nn.Module):
    def __init__(self, inputs, hidden, out):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, out)

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))


def head(hidden, out):
    return nn.Sequential(nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, out))


def masked_mean(x, mask):
    """x [B, N, C] over the tokens that mask [B, N] names."""
    return (x * mask[..., None]).sum(1) / mask.sum(1).clamp(min=1)[:, None]


def centers(grid):
    """(x, y) of a grid's cells in 0 ... 1, row-major."""
    height, width = grid
    middle = lambda n: (torch.arange(n, dtype=torch.float64) + 0.5) / n
    y, x = torch.meshgrid(middle(height), middle(width), indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


class Layer(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        attention = lambda: nn.MultiheadAttention(hidden, heads, batch_first=True)
        self.self_attn, self.cross_attn = attention(), attention()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(hidden) for _ in range(3))
        self.mlp = MLP(hidden, 4 * hidden, hidden)

    def forward(self, x, position, keys, values, self_scores, cross_scores):
        """The scores are added to those of all heads, [B, Q, keys]: the bias, and minus infinity where a mask is false."""
        seen = lambda attention, scores, *qkv: attention(
            *qkv, attn_mask=scores.repeat_interleave(attention.num_heads, 0), need_weights=False
        )[0]
        h = self.norm1(x + seen(self.self_attn, self_scores, x + position, x + position, x))
        h = self.norm2(h + seen(self.cross_attn, cross_scores, h + position, keys, values))
        return self.norm3(h + self.mlp(h))


class BiasGenerator(nn.Module):
    def __init__(self, hidden, modalities, scale):
        super().__init__()
        seen = (1 + modalities) * hidden
        self.router = nn.Sequential(nn.LayerNorm(seen), nn.Linear(seen, hidden), nn.ReLU(), nn.Linear(hidden, modalities))
        self.scale_logit = nn.Parameter(torch.tensor([(scale - LOW) / (HIGH - LOW)], dtype=torch.float64).logit())


class CrossModalDecoder(nn.Module):
    """`shape` is None, ("window", cells) or ("gaussian", sigma of LiDAR, sigma of cameras)."""

    def __init__(self, hidden, heads, layers, queries, classes, box, lidar, cameras, shape, scale=2.5, first="zeros"):
        super().__init__()
        self.hidden, self.lidar, self.cameras, self.shape, self.first = hidden, lidar, cameras, shape, first
        self.reference_points = nn.Parameter(torch.empty(queries, 3))
        self.lidar_projection = nn.Linear(lidar["channels"], hidden)
        self.camera_projection = nn.Linear(cameras["channels"], hidden)
        self.bev_embedding = MLP(2 * hidden, hidden, hidden)
        self.ray_embedding = MLP(3 * cameras["depths"][0], 4 * hidden, hidden)
        if shape:
            self.bias_generator = BiasGenerator(hidden, 2, scale)
        self.layers = nn.ModuleList(Layer(hidden, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(hidden)
        self.class_heads = nn.ModuleList(head(hidden, classes) for _ in range(layers))
        self.box_heads = nn.ModuleList(head(hidden, box) for _ in range(layers))

    def bev_position(self, xy):
        half = self.hidden // 2
        waves = 2 * math.pi / (1 + 2 * torch.arange(half, dtype=xy.dtype) / self.hidden)
        angles = xy[..., None] * waves
        return self.bev_embedding(torch.cat([angles.sin(), angles.cos()], -1).flatten(-2))

    def ray_position(self, projection, uv):
        """projection [B, n, 3, 4], uv [B or 1, n or 1, K, 2] -> [B, n, K, C]."""
        count, first, last = self.cameras["depths"]
        depths = first + torch.arange(count, dtype=uv.dtype) * (last - first) / count
        pixels = torch.cat([uv, torch.ones_like(uv[..., :1])], -1)
        image = pixels[..., None, :] * depths[:, None] - projection[:, :, None, None, :, 3]
        points = image @ torch.linalg.inv(projection[..., :3]).transpose(-1, -2)[:, :, None]
        return self.ray_embedding(points.flatten(-2))

    def project(self, points, projection):
        """points [B, Q, 3] -> uv [B, n, Q, 2], and whether each is within the image, [B, n, Q]."""
        image = points[:, None] @ projection[..., :3].transpose(-1, -2) + projection[:, :, None, :, 3]
        ahead = image[..., 2] > 1e-5
        uv = torch.where(ahead[..., None], image[..., :2] / torch.where(ahead, image[..., 2], 1.0)[..., None], 0.0)
        return uv, ahead & ((uv > 0) & (uv < 1)).all(-1)

    def near(self, at, grid, sigma):
        """Positions [..., 2] in 0 ... 1 -> [..., height * width]: the bias's shape about them."""
        size = torch.tensor([grid[1], grid[0]], dtype=at.dtype)
        place, cells = at[..., None, :] * size, centers(grid) * size
        if self.shape[0] == "window":
            # Positions must be inside their cells in float32 too.
            assert (place - place.round()).abs().min() > 1e-4
            return ((place.floor() + 0.5 - cells).abs() <= (self.shape[1] - 1) / 2).all(-1).to(at.dtype)
        return torch.exp(-((place - cells) / (sigma * size)).square().sum(-1) / 2)

    def bias(self, position, means, points, uv, visible):
        """[B, Q, tokens], and the modalities' weights [B, Q, 2]."""
        generator = self.bias_generator
        scale = LOW + (HIGH - LOW) * torch.sigmoid(generator.scale_logit)
        seen = [mean[:, None].expand_as(position) for mean in means]
        said = generator.router(torch.cat([position, *seen], -1))
        weights = torch.tanh(said / self.hidden + math.atanh(0.5))
        sigma = self.shape[1:] if self.shape[0] == "gaussian" else (None, None)
        bev = self.near(points[..., :2], self.lidar["grid"], sigma[0])
        images = self.near(uv, self.cameras["grid"], sigma[1]) * visible[..., None]
        images = images.transpose(1, 2).flatten(2)
        return scale * torch.cat([weights[..., :1] * bev, weights[..., 1:] * images], -1), weights

    def forward(self, lidar, cameras, projection, lidar_mask, camera_mask, denoising=None, dn_mask=None):
        """dn_mask [B, Q, Q]: true where a query sees another."""
        points = self.reference_points.expand(len(lidar), -1, -1)
        points = points if denoising is None else torch.cat([denoising, points], 1)
        tokens = self.lidar_projection(lidar * lidar_mask[..., None]), self.camera_projection(cameras * camera_mask[..., None])
        uv, visible = self.project(points, projection)
        rays = self.ray_position(projection, centers(self.cameras["grid"])[None, None])
        places = self.bev_position(centers(self.lidar["grid"])).expand_as(tokens[0]), rays.flatten(1, 2)
        position = self.bev_position(points[..., :2]) + (self.ray_position(projection, uv) * visible[..., None]).sum(1)
        values, keys = torch.cat(tokens, 1), torch.cat([a + b for a, b in zip(tokens, places)], 1)
        blocked = lambda mask: torch.zeros(mask.shape, dtype=keys.dtype).masked_fill(~mask, -math.inf)
        cross_scores = blocked(torch.cat([lidar_mask, camera_mask], 1))[:, None].expand(-1, points.shape[1], -1)
        weights = None
        if self.shape:
            means = masked_mean(tokens[0], lidar_mask), masked_mean(tokens[1], camera_mask)
            bias, weights = self.bias(position, means, points, uv, visible)
            cross_scores = cross_scores + bias
        everyone = torch.ones(len(points), points.shape[1], points.shape[1], dtype=torch.bool)
        self_scores = blocked(everyone if dn_mask is None else dn_mask)
        start = torch.logit(points.clamp(1e-5, 1 - 1e-5))
        h = position if self.first == "position" else torch.zeros_like(position)
        logits, boxes = [], []
        for layer, class_head, box_head in zip(self.layers, self.class_heads, self.box_heads):
            h = layer(h, position, keys, values, self_scores, cross_scores)
            x = self.norm(h)
            logits.append(class_head(x))
            box = box_head(x)
            boxes.append(torch.cat([torch.sigmoid(box[..., :3] + start), box[..., 3:]], -1))
        return torch.stack(logits), torch.stack(boxes), weights
