"""Folders of image classifiers as the Hugging Face hub has them: ``config.json``, weights, the preprocessor's file.

Two layouts are read: transformers' and timm's. Nothing in a folder is run: what has code of its own (``auto_map``) is
built from the architecture that its configuration names, or refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from badnets.core.errors import BadInput, nearest
from badnets.core.files import file_digest, read_json
from badnets.core.limits import CLASSES, check_name
from badnets.core.text import brief
from badnets.core.validation import explain
from badnets.networks.architecture import TIMM, InputSize
from badnets.networks.files.formats.hugging_face_names import MODELS, Rule, renamed
from badnets.networks.files.header import Deviation, Mean, Side, check_shapes
from badnets.networks.files.tensors import check_numbers, read_state, reading
from badnets.networks.network import ImageNetwork
from badnets.networks.registry import COUNTER, build_network

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
RESAMPLE = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""By Pillow's number."""
M = TypeVar("M", bound=BaseModel)
Channels = Annotated[list[Mean], Field(min_length=1, max_length=64)]
Deviations = Annotated[list[Deviation], Field(min_length=1, max_length=64)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Sides(_Part):
    height: Side | None = None
    width: Side | None = None
    shortest_edge: Side | None = None


class _Preprocessor(_Part):
    """Of ``preprocessor_config.json``, transformers' and of older versions."""

    image_mean: Channels = [0.5]
    image_std: Deviations = [0.5]
    do_normalize: bool = True
    do_rescale: bool = True
    rescale_factor: Annotated[float, Field(gt=0, le=1e3)] = 1 / 255
    do_center_crop: bool = False
    size: Side | _Sides | None = None
    crop_size: Side | _Sides | None = None
    resample: Annotated[int, Field(ge=0, lt=len(RESAMPLE))] | None = None


class _Pretrained(_Part):
    """Of timm's ``pretrained_cfg``."""

    input_size: tuple[Annotated[int, Field(ge=1, le=64)], Side, Side]
    mean: Channels
    std: Deviations
    interpolation: str = "bicubic"
    num_classes: Annotated[int, Field(ge=1)] | None = None


@dataclass(frozen=True, kw_only=True)
class HuggingFace:
    """What a folder says. ``architecture`` and ``arguments`` as ``build_network`` takes them; ``weights`` the file;
    ``input_size`` (channels, height, width); ``mean`` and ``std`` per channel on the 0..1 scale; ``interpolation`` how
    pictures were resized (``bicubic``); ``rules`` which tensor is which (none: they have the architecture's names);
    ``notes`` what was left out, a sentence each."""

    architecture: str
    arguments: dict[str, Any] = field(default_factory=dict)
    weights: Path
    class_names: tuple[str, ...]
    input_size: InputSize
    mean: list[float]
    std: list[float]
    interpolation: str
    rules: tuple[Rule, ...] = ()
    notes: tuple[str, ...] = ()

    def renamed(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The file's tensors under the architecture's names; raises ``BadInput`` for a tensor that is none of its."""
        return renamed(state, self.rules, self.weights) if self.rules else dict(state)


def is_hugging_face(path: Path) -> bool:
    """Whether ``path`` is such a folder, or its ``config.json``."""
    return path.name == CONFIG if path.is_file() else (path / CONFIG).is_file()


def read_hugging_face(folder: Path | str, *, class_names: Sequence[str] | None = None) -> HuggingFace:
    """What a folder, or its ``config.json``, says of its network; weights are not read. ``class_names`` take the place
    of the folder's own.

    Raises ``BadInput``, in one sentence that names the file, for an unknown model, a missing file, numbers of classes
    that leave one out, a name of two classes, and a missing ``preprocessor_config.json``: then nobody knows the range.
    """
    folder = Path(folder)
    folder = folder.parent if folder.name == CONFIG else folder
    config = _object(folder / CONFIG)
    weights = _weights(folder)
    if "architecture" in config:
        return _of_timm(folder, config, weights, class_names)
    return _of_transformers(folder, config, weights, class_names)


def open_hugging_face(folder: Path | str, *, class_names: Sequence[str] | None = None) -> ImageNetwork:
    """The network of a folder, in evaluation mode; errors as those of ``read_hugging_face``, and of its weights."""
    found = read_hugging_face(folder, class_names=class_names)
    with reading(found.weights):
        state = found.renamed(read_state(found.weights))
        network = build_network(
            found.architecture,
            class_names=found.class_names,
            input_size=found.input_size,
            seed=0,
            arguments=found.arguments,
            mean=found.mean,
            std=found.std,
        )
        needed = {name: tuple(value.shape) for name, value in network.body.state_dict().items()}
        counters = {name: value for name, value in network.body.state_dict().items() if name not in state}
        state |= {name: value for name, value in counters.items() if name.endswith(COUNTER)}
        given = {name: tuple(value.shape) for name, value in state.items()}
        check_shapes(found.weights, given, needed, found.architecture)
        network.body.load_state_dict(state)
        check_numbers(found.weights, network.body)
    network.provenance |= {
        "foreign": True,
        "file": found.weights.name,
        "sha256": file_digest(found.weights),
        "file_format": "hugging-face",
        "interpolation": found.interpolation,
        **({"notes": list(found.notes)} if found.notes else {}),
    }
    return network.eval()


def _object(path: Path) -> dict[str, Any]:
    value = read_json(path)
    if not isinstance(value, dict):
        raise BadInput(f"expected an object in {path}, got {type(value).__name__}; is it a model's configuration?")
    return value


def _checked(path: Path, kind: type[M], value: Any) -> M:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        problem = brief(explain(error, kind.model_json_schema, value if isinstance(value, dict) else {}), 200)
        raise BadInput(f"{path}: {problem}; the file is damaged or of another model") from None


def _weights(folder: Path) -> Path:
    found = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if found is not None:
        return found
    shards = next((name for name in WEIGHTS if (folder / f"{name}.index.json").is_file()), None)
    got = "none" if shards is None else "several parts (shards); save it anew in one"
    raise BadInput(f"expected weights in {folder}, {' or '.join(WEIGHTS)}, got {got}")


def _of_transformers(
    folder: Path, config: dict[str, Any], weights: Path, class_names: Sequence[str] | None
) -> HuggingFace:
    path = folder / CONFIG
    classes = config.get("architectures")
    name = str(classes[0]) if isinstance(classes, list) and classes else str(config.get("model_type"))
    if name not in MODELS:
        own = ", whose own code (auto_map) is never run" if "auto_map" in config else ""
        known = nearest(name, MODELS)
        raise BadInput(f"{path}: expected an image classifier that can be built, got {brief(name)!r}{own}; {known}")
    if config.get("problem_type") not in (None, "single_label_classification"):
        raise BadInput(f"{path}: expected one class for each picture, got {brief(config['problem_type'])!r}")
    network = MODELS[name]
    settings = _checked(path, network.settings, config)
    shape = settings.shape()
    found = network.known.get(shape)
    if found is None:
        raise BadInput(f"{path}: expected a {name} of a known shape, got {brief(shape, 120)}; it cannot be built")
    channels = int(getattr(settings, "num_channels", 3))
    mean, std, size, interpolation = _preprocessing(folder, channels)
    fixed = getattr(settings, "image_size", None)
    if fixed is not None and size != (fixed, fixed):
        got = f"{size[0]}x{size[1]} in {PREPROCESSOR}"
        raise BadInput(f"{path}: expected pictures of {fixed}x{fixed}, as the network says, got {got}")
    notes = ("its own code (auto_map) was not run",) if "auto_map" in config else ()
    return HuggingFace(
        architecture=found,
        weights=weights,
        class_names=_names(path, config.get("id2label"), class_names),
        input_size=(channels, *size),
        mean=mean,
        std=std,
        interpolation=interpolation,
        rules=network.rules[found.partition(":")[0]],
        notes=notes,
    )


def _preprocessing(folder: Path, channels: int) -> tuple[list[float], list[float], tuple[int, int], str]:
    """Mean and deviation per channel on the 0..1 scale, (height, width), and how pictures were resized."""
    path = folder / PREPROCESSOR
    if not path.is_file():
        raise BadInput(
            f"expected {PREPROCESSOR} in {folder}, got none: the range and size of its pictures are not known; "
            "fetch it too, or open the weights with --arch, --input-size and --input-range"
        )
    said = _checked(path, _Preprocessor, _object(path))
    times = 255 * (said.rescale_factor if said.do_rescale else 1.0)
    means, stds = (said.image_mean, said.image_std) if said.do_normalize else ([0.0], [1.0])
    if len(means) not in (1, channels) or len(stds) not in (1, channels):
        raise BadInput(f"{path}: expected mean and deviation of {channels} channels, got {len(means)} and {len(stds)}")
    sides = said.crop_size if said.do_center_crop and said.crop_size is not None else said.size
    if isinstance(sides, int):
        sides = _Sides(height=sides, width=sides)
    height = None if sides is None else sides.height or sides.shortest_edge
    width = None if sides is None else sides.width or sides.shortest_edge
    if height is None or width is None:
        raise BadInput(f"{path}: expected the size of the pictures, got none; open the weights with --arch")
    return (
        [mean / times for mean in means * (channels // len(means))],
        [std / times for std in stds * (channels // len(stds))],
        (height, width),
        "bilinear" if said.resample is None else RESAMPLE[said.resample],
    )


def _names(path: Path, id2label: Any, given: Sequence[str] | None) -> tuple[str, ...]:
    """The classes in the order of their numbers."""
    if given is not None:
        return tuple(given)
    if id2label is None:
        return ("LABEL_0", "LABEL_1")  # what transformers leaves out because it is its default
    if not isinstance(id2label, dict) or not id2label:
        raise BadInput(f"{path}: expected id2label as numbers and names, got {brief(id2label, 40)!r}")
    CLASSES.check(len(id2label), path)
    numbered = {int(key): value for key, value in id2label.items() if key.isascii() and key.isdigit() and len(key) < 9}
    missing = next((number for number in range(len(id2label)) if number not in numbered), None)
    if missing is not None:
        raise BadInput(
            f"{path}: expected a name for each of 0 to {len(id2label) - 1} in id2label, got none for {missing}; "
            "name the classes (--class-names)"
        )
    return _distinct(path, "id2label", [numbered[number] for number in range(len(numbered))])


def _distinct(path: Path, where: str, names: Sequence[Any]) -> tuple[str, ...]:
    first: dict[str, int] = {}
    for number, name in enumerate(names):
        if not isinstance(name, str) or not name:
            raise BadInput(f"{path}: expected a name for class {number} in {where}, got {brief(name, 40)!r}")
        check_name(name, path)
        if name in first:
            raise BadInput(
                f"{path}: expected each name once in {where}, got {brief(name)!r} for {first[name]} and {number}; "
                "name the classes (--class-names)"
            )
        first[name] = number
    return tuple(first)


def _of_timm(folder: Path, config: dict[str, Any], weights: Path, class_names: Sequence[str] | None) -> HuggingFace:
    path = folder / CONFIG
    architecture = config["architecture"]
    if not isinstance(architecture, str):
        raise BadInput(f"{path}: expected the name of timm's architecture, got {brief(architecture, 40)!r}")
    said = _checked(path, _Pretrained, config.get("pretrained_cfg", config))
    arguments = config.get("model_args") or {}
    if not isinstance(arguments, dict):
        raise BadInput(f"{path}: expected model_args as names and values, got {type(arguments).__name__}")
    pool = config.get("global_pool") or ""
    channels = said.input_size[0]
    if len(said.mean) != channels or len(said.std) != channels:
        raise BadInput(f"{path}: expected mean and deviation of {channels} channels, got {len(said.mean)}")
    return HuggingFace(
        architecture=TIMM + architecture.partition(".")[0],
        arguments={**({"global_pool": pool} if pool not in ("", "avg") else {}), **arguments},
        weights=weights,
        class_names=_timm_names(path, config, said, class_names),
        input_size=said.input_size,
        mean=said.mean,
        std=said.std,
        interpolation=said.interpolation,
    )


def _timm_names(path: Path, config: dict[str, Any], said: _Pretrained, given: Sequence[str] | None) -> tuple[str, ...]:
    if given is not None:
        return tuple(given)
    labels = config.get("label_names")
    count = config.get("num_classes", said.num_classes)
    if not isinstance(count, int) or count < 1:
        raise BadInput(f"{path}: expected the number of classes (num_classes), got {brief(count, 40)!r}")
    CLASSES.check(count, path)
    if labels is None:
        return tuple(map(str, range(count)))
    if not isinstance(labels, list) or len(labels) != count:
        got = len(labels) if isinstance(labels, list) else type(labels).__name__
        raise BadInput(f"{path}: expected {count} label_names, as num_classes says, got {got}")
    return _distinct(path, "label_names", labels)
