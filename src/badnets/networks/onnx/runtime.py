"""What onnxruntime answers to the same pictures: whether a network was read right."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from badnets.core.errors import BadInput, first_line
from badnets.core.seed import Seed
from badnets.core.text import brief
from badnets.networks.architecture import InputSize
from badnets.networks.network import LARGE, evaluating
from badnets.networks.onnx.assembly import OnnxNetwork, laid
from badnets.networks.onnx.packages import onnx_package

_CLOSE = 1e-4
"""How far answers may be apart, as a share of the largest, or of 1."""
_SILENT = 4


def runtime_answers(path: Path, model: Any, pictures: Sequence[NDArray[np.float32]], output: str) -> NDArray[Any]:
    """What onnxruntime answers to batches of pictures, laid as the network takes them: on the CPU, in one thread, as
    the file says and not otherwise. ``model`` is a checked ModelProto whose numbers are all in it."""
    ort = onnx_package("onnxruntime")
    ort.disable_telemetry_events()  # where it was imported before by others
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = _SILENT
    try:
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        answers = [session.run([output], {name: batch})[0] for batch in pictures]
    except Exception as error:  # noqa: BLE001 (a library in C++, which raises of every kind)
        reason = brief(first_line(error), 160)
        raise BadInput(f"{path}: expected a network that onnxruntime can run, got one it refuses ({reason})") from None
    return np.concatenate(
        [np.asarray(answer).reshape(len(batch), -1) for answer, batch in zip(answers, pictures, strict=True)]
    )


def check_answers(path: Path, model: Any, output: str, network: OnnxNetwork, size: InputSize, batch: int) -> float:
    """Refuse a ``network`` whose answers to noise are not those of onnxruntime, to which pictures are given ``batch``
    at a time and to the network all at once; else how far they are apart, as a share of the largest answer or of 1."""
    count = batch if batch > 1 or size[1] * size[2] > LARGE else 3
    noise = Seed(0).derive("compare with onnxruntime").rng.random((count, *size), np.float32)
    pictures = torch.from_numpy(noise)
    parts = [laid(part, network.layout).contiguous().numpy() for part in torch.split(pictures, batch)]
    theirs = runtime_answers(path, model, parts, output)
    try:
        with evaluating(network), torch.no_grad():
            ours = torch.cat([network(pictures), network(pictures[:1])]).flatten(1).numpy()
    except Exception as error:  # noqa: BLE001 (operators of a stranger's choice may raise anything)
        reason = brief(first_line(error), 160)
        raise BadInput(
            f"{path}: expected a network for any number of pictures, got one that fails ({reason})"
        ) from None
    wanted = np.concatenate([theirs, theirs[:1]])
    if ours.shape != wanted.shape or not np.isfinite(wanted).all():
        got = f"{list(ours.shape)} for {list(wanted.shape)}" if ours.shape != wanted.shape else "infinite ones"
        raise BadInput(f"{path}: expected the answers of onnxruntime, got {got}; ask for a state_dict")
    apart = float(np.abs(ours - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    if not apart <= _CLOSE:
        raise BadInput(
            f"{path}: expected the answers of onnxruntime within {_CLOSE:g}, got some {apart:.2g} apart; ask for a "
            "state_dict"
        )
    return apart
