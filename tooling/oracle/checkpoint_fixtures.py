"""Writes the files that packages/checkpoint's tests read: what PyTorch and safetensors themselves produce, with the
expected values beside them as JSON.

    python tooling/oracle/checkpoint_fixtures.py [output folder]
"""

import argparse
import collections
import io
import json
import os
import sys
import zipfile

import numpy
import torch
from safetensors.torch import save_file

HERE = os.path.dirname(os.path.abspath(__file__))
FOLDER = os.path.join(HERE, "..", "..", "packages", "checkpoint", "test", "fixtures")

DTYPES = {
    "f64": torch.float64,
    "f32": torch.float32,
    "f16": torch.float16,
    "bf16": torch.bfloat16,
    "f8_e4m3": torch.float8_e4m3fn,
    "f8_e5m2": torch.float8_e5m2,
    "i64": torch.int64,
    "i32": torch.int32,
    "i16": torch.int16,
    "i8": torch.int8,
    "u64": torch.uint64,
    "u32": torch.uint32,
    "u16": torch.uint16,
    "u8": torch.uint8,
    "bool": torch.bool,
    "c64": torch.complex64,
    "c128": torch.complex128,
}


def sample(dtype):
    """2 x 3 values that the dtype holds exactly or rounds in a known way."""
    if dtype == torch.bool:
        return torch.tensor([[True, False, True], [False, False, True]])
    if dtype.is_complex:
        return torch.tensor([[1 + 2j, -3.5j, 0], [4, 5 - 1j, 1e3]], dtype=dtype)
    if dtype.is_floating_point:
        return torch.tensor([[0.1, -2.5, 3.0], [0.0, 448.0, -0.001]], dtype=torch.float64).to(dtype)
    numbers = [[1, 2, 3], [100, 0, 127]]
    if dtype.is_signed:
        numbers = [[1, -2, 3], [-128, 0, 127]]
    if dtype == torch.int64:
        numbers[0][0] = 2**62 + 1
    return torch.tensor(numbers, dtype=torch.int64).to(dtype)


def listed(tensor):
    """Row-major values as JSON: integers as strings, complex numbers as pairs."""
    flat = tensor.detach().resolve_conj().contiguous().flatten()
    if flat.dtype.is_complex:
        return [float(part) for value in flat.tolist() for part in (value.real, value.imag)]
    if flat.dtype == torch.bool:
        return [int(value) for value in flat.tolist()]
    if flat.dtype.is_floating_point:
        return [float(value) for value in flat.to(torch.float64).tolist()]
    return [str(value) for value in flat.tolist()]


def expected_of(tensors):
    names = {dtype: name for name, dtype in DTYPES.items()}
    return {
        key: {"shape": list(t.shape), "dtype": names[t.dtype], "values": listed(t)} for key, t in tensors.items()
    }


def windows():
    """Tensors that look into a storage in every way torch.save keeps."""
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    return {
        "whole": base,
        "transposed": base.transpose(0, 2),
        "offset": base[1],
        "every_other": base[:, ::2, 1::2],
        "column": base[:, 1, 2],
        "expanded": torch.tensor([1.0, 2.0]).reshape(2, 1).expand(2, 3),
        "scalar": torch.tensor(3.5),
        "scalar_in_storage": base[1, 2, 3],
        "empty": torch.zeros(0, 4),
        "complex_strided": sample(torch.complex64).t(),
        "int_strided": sample(torch.int64).t(),
        "one_by_one": base[:1, 1:2, :1],
    }


def main(folder):
    os.makedirs(folder, exist_ok=True)
    at = lambda name: os.path.join(folder, name)
    torch.manual_seed(0)
    expected = {}

    every = {name: sample(dtype) for name, dtype in DTYPES.items()}
    torch.save(every, at("dtypes.pt"))
    expected["dtypes.pt"] = expected_of(every)

    looks = windows()
    torch.save(looks, at("windows.pt"))
    expected["windows.pt"] = expected_of(looks)

    values = {
        "none": None,
        "true": True,
        "false": False,
        "int": -7,
        "int16": 40000,
        "int32": -(2**31),
        "big": 2**80,
        "small_big": -(2**40),
        "float": 0.1,
        "text": "grüße 🙂",
        "bytes": b"ab\xff",
        "empty_bytes": b"",
        "bytearray": bytearray(b"xyz"),
        "list": [1, [2, []]],
        "tuple": (1, (2, 3), ()),
        "set": {1, 2},
        "frozenset": frozenset([3]),
        "dict": {1: "one", "two": 2},
        "ordered": collections.OrderedDict([("b", 1), ("a", 2)]),
        "__proto__": {"polluted": True},
        "size": torch.Size([2, 3]),
        "dtype": torch.float32,
        "namespace": argparse.Namespace(model="DiT-XL/2", lr=1e-4),
        "numpy_scalar": numpy.float64(1.5),
    }
    shared = [1, 2]
    values["shared"] = [shared, shared]
    loop = []
    loop.append(loop)
    values["loop"] = loop
    for protocol in (2, 3, 4, 5):
        torch.save(values, at(f"values-protocol{protocol}.pt"), pickle_protocol=protocol)

    # The layout of a facebookresearch/DiT training checkpoint.
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    model(torch.ones(2, 3)).square().mean().backward()
    optimizer.step()
    checkpoint = {
        "model": model.state_dict(),
        "ema": {name: p.detach().half() for name, p in model.named_parameters()},
        "opt": optimizer.state_dict(),
        "args": argparse.Namespace(model="DiT-XL/2", image_size=256),
        "parameter": torch.nn.Parameter(torch.ones(2)),
    }
    torch.save(checkpoint, at("dit-checkpoint.pt"))
    expected["dit-checkpoint.pt"] = expected_of(
        {
            **checkpoint["model"],
            "moment": checkpoint["opt"]["state"][0]["exp_avg"],
            "ema.0.bias": checkpoint["ema"]["0.bias"],
        }
    )

    parameter, tensor = torch.nn.Parameter(torch.ones(2)), torch.arange(3.0)
    parameter.note, tensor.note = "a", "b"
    attributes = {"parameter": parameter, "tensor": tensor, "alias": tensor}
    torch.save(attributes, at("attributes.pt"))
    expected["attributes.pt"] = expected_of(attributes)
    torch.save(
        {
            "sparse": torch.eye(2).to_sparse(),
            "meta": torch.empty(2, device="meta"),
            "quantized": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8),
        },
        at("other-layouts.pt"),
    )
    torch.save(every["c64"].conj(), at("conjugated.pt"))

    torch.save(every["f32"], at("bare-tensor.pt"))
    torch.save({"w": every["f32"]}, at("legacy.pt"), _use_new_zipfile_serialization=False)

    class Attack:
        def __reduce__(self):
            return (os.system, ("touch PWNED",))

    torch.save({"x": Attack(), "w": every["f32"]}, at("attack.pt"))

    # As a big-endian machine writes it.
    big = {name: every[name] for name in ("f32", "bf16", "i64", "c64", "u8")}
    buffer = io.BytesIO()
    torch.save(big, buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(at("big-endian.pt"), "w") as target:
        for key, lane in enumerate((4, 2, 8, 4, 1)):
            raw = source.read(f"archive/data/{key}")
            swapped = b"".join(raw[i : i + lane][::-1] for i in range(0, len(raw), lane))
            target.writestr(zipfile.ZipInfo(f"archive/data/{key}"), swapped)
        target.writestr(zipfile.ZipInfo("archive/data.pkl"), source.read("archive/data.pkl"))
        target.writestr(zipfile.ZipInfo("archive/byteorder"), "big")

    save_file({name: t for name, t in every.items() if name != "c128"}, at("dtypes.safetensors"), metadata={"format": "pt"})

    with open(at("expected.json"), "w") as file:
        json.dump(expected, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else FOLDER)
