"""Writes packages/dit-model/test/fixtures/cross-modal-*.safetensors: outputs and gradients of CrossModalDecoders, from PyTorch in float64. Run:
python tooling/oracle/cross_modal_fixtures.py (needs torch, numpy, safetensors)."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from cross_modal_torch import CrossModalDecoder
from hash_values import hash_normal, hash_uniform, hash_weight

OUT = Path(__file__).resolve().parents[2] / "packages/dit-model/test/fixtures"
BATCH, LEARNED, GROUPS, SLOTS = 2, 5, 2, 2

# As test/cross-modal-models.ts.
CONFIG = dict(
    hidden=12,
    heads=2,
    layers=2,
    queries=LEARNED,
    classes=3,
    box=7,
    lidar=dict(grid=(3, 4), channels=6),
    cameras=dict(grid=(2, 3), channels=5, depths=(3, 0.5, 2.0)),
)
PROJECTION = [
    [[0.5, -1, 0, 1], [0.5, 0, -1, 1], [1, 0, 0, 0.5]],
    [[1, 0.5, 0, 0.1], [0, 0.4, -1, 0.9], [0, 1, 0, 0.6]],
]
# The tests name the same configurations (test/cross-modal-pytorch.test.ts); the Gaussian is compared by both routes.
CASES = {
    "none": dict(shape=None),
    "window": dict(shape=("window", 3), scale=3.0, first="position"),
    "gaussian": dict(shape=("gaussian", 0.3, 0.4), scale=1.25, first="position"),
}


def denoising_mask() -> torch.Tensor:
    """Denoising queries see their group and the learned ones; the second scene's last one is empty, and sees and shows only itself."""
    group = torch.arange(GROUPS).repeat_interleave(SLOTS)
    group = torch.cat([group, torch.full((LEARNED,), -1)])
    mask = ((group[:, None] == group) | (group < 0)).repeat(BATCH, 1, 1)
    empty = GROUPS * SLOTS - 1
    mask[1, empty], mask[1, :, empty] = False, False
    mask[1, empty, empty] = True
    return mask


def write(name: str, case: dict) -> None:
    model = CrossModalDecoder(**CONFIG, **case).double()
    with torch.no_grad():
        for key, p in model.named_parameters():
            if key == "reference_points":
                p.copy_(torch.from_numpy(hash_uniform(key, p.numel())).view_as(p))
            elif not key.endswith("scale_logit"):
                p.copy_(torch.from_numpy(hash_weight(key, tuple(p.shape))))
    hashed = lambda key, *shape: torch.from_numpy(hash_normal(key, shape)).requires_grad_()
    lidar, cameras = hashed("lidar", BATCH, 12, 6), hashed("cameras", BATCH, 12, 5)
    projection = torch.tensor([PROJECTION] * BATCH, dtype=torch.float64, requires_grad=True)
    # The second scene lacks cells, and its second camera.
    lidar_mask, camera_mask = torch.ones(BATCH, 12, dtype=torch.bool), torch.ones(BATCH, 12, dtype=torch.bool)
    if name != "none":
        lidar_mask[0, 7:], lidar_mask[1, :5], camera_mask[1, 6:] = False, False, False
    denoising = torch.from_numpy(hash_uniform("denoising", BATCH * 4 * 3)).view(BATCH, 4, 3).requires_grad_()
    extra = () if name == "none" else (denoising, denoising_mask())
    logits, boxes, weights = model(lidar, cameras, projection, lidar_mask, camera_mask, *extra)
    out = {"logits": logits, "boxes": boxes}
    torch.autograd.backward(list(out.values()), [torch.from_numpy(hash_normal(key, tuple(y.shape))) for key, y in out.items()])
    result = out if weights is None else {**out, "modalityWeights": weights}
    inputs = {"lidar": lidar, "cameras": cameras, "cameraProjection": projection, "dnQueries": denoising}
    for key, p in [*inputs.items(), *model.named_parameters()]:
        if p.grad is not None:
            result[f"{key}.grad"] = p.grad
    save_file({key: v.detach().float().contiguous() for key, v in result.items()}, OUT / f"cross-modal-{name}.safetensors")


if __name__ == "__main__":
    for name, case in CASES.items():
        write(name, case)
