"""The weights that the package ships, as the model that is trained, so that new texts need not begin anew.

The exported file holds weights in eight bits. They are given back as they are used, so what is lost was lost at export.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from training.model import Judge

SUFFIXES = ("/MatMul_quant", "/Gemm_MatMul_quant")


def restore(model: Judge, path: Path) -> None:
    """Give the model the weights of an exported file. Raises ValueError where one of its weights is not in it."""
    graph = onnx.load(str(path)).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found = {name: value for name, value in stored.items() if value.dtype == np.float32}
    found |= _tables(stored) | _matrices(graph, stored)
    state = model.state_dict()
    if missing := [name for name in state if name not in found and "position_ids" not in name]:
        raise ValueError(f"{path.name} holds no {', '.join(missing)}")
    model.load_state_dict({name: torch.from_numpy(found[name].copy()).view_as(state[name]) for name in state})


def _tables(stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {
        name.removesuffix("_quantized"): _exact(stored, name.removesuffix("_quantized"))
        for name in stored
        if name.endswith(".weight_quantized")
    }


def _matrices(graph: onnx.GraphProto, stored: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The matrices by the name of the module that multiplies with each; a linear layer's lies transposed."""
    return {
        _module(node.name) + ".weight": _exact(stored, node.input[1].removesuffix("_quantized")).T
        for node in graph.node
        if node.op_type == "MatMulInteger" and node.input[1] in stored
    }


def _module(node: str) -> str:
    for suffix in SUFFIXES:
        node = node.removesuffix(suffix)
    parts = node.strip("/").split("/")
    return parts[-1] if parts[0] == "hostile" else ".".join(parts)


def _exact(stored: dict[str, np.ndarray], name: str) -> np.ndarray:
    zero, scale = stored[name + "_zero_point"].astype(np.float32), stored[name + "_scale"]
    return (stored[name + "_quantized"].astype(np.float32) - zero) * scale
