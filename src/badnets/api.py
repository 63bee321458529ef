"""What takes more than one room: opening any file, one's own modules, measuring, and certificates without files.

The public list is in ``badnets/__init__.py``; everything else on it is where it belongs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from badnets.core.errors import BadInput
from badnets.core.files import temporary_folder
from badnets.data.splits import one_set
from badnets.networks import registry
from badnets.networks.device import working_on
from badnets.networks.files.class_names import IMAGEFOLDER
from badnets.networks.files.foreign import ForeignOptions, open_any
from badnets.networks.files.own import open_network
from badnets.networks.files.ranges import parse_range, written_range
from badnets.networks.network import ImageNetwork

if TYPE_CHECKING:
    import torch

    from badnets.audits.detector import Detector
    from badnets.backdoors.backdoor import Backdoor
    from badnets.data.images import ImageData, Splits
    from badnets.defenses.repair import Repair
    from badnets.networks.architecture import InputSize
    from badnets.networks.network import ChannelOrder
    from badnets.records.certificate import Certificate
    from badnets.records.finding import Finding
    from badnets.referee.measure import Measured

Range = str | tuple[Sequence[float], Sequence[float]]
"""``"0-1"``, ``"0-255"``, ``"-1-1"``, ``"MEAN/STD"``, or mean and deviation per channel on the 0..1 scale."""


def wrap(
    module: nn.Module,
    *,
    class_names: Sequence[str],
    input_size: InputSize,
    range: Range = "0-1",  # noqa: A002 (the word of the field)
    name: str = "custom",
) -> ImageNetwork:
    """Your own module as a network that can be measured, repaired and saved; it is used, not copied.

    ``module`` gives logits (n, classes), or probabilities, for floats (n, *input_size); ``input_size`` is (channels,
    height, width); ``range`` is that of the pictures it was trained on. Raises ``BadInput`` where it does not take
    such pictures or does not give one number for each of ``class_names``.
    """
    if isinstance(module, ImageNetwork):
        raise BadInput("expected a module of your own to wrap, got a network of badnets; use it as it is")
    mean, std = parse_range(range, input_size[0])
    return registry.wrap(module, class_names=class_names, input_size=input_size, mean=mean, std=std, name=name)


def open(  # noqa: A001 (as in PIL: bn.open)
    path: Path | str,
    *,
    arch: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    classes: int | None = None,
    class_names: Sequence[str] | None = None,
    input_size: InputSize | None = None,
    range: Range | None = None,  # noqa: A002
    channel_order: ChannelOrder | None = None,
    clean: ImageData | None = None,
    module: nn.Module | None = None,
    device: str | torch.device = "auto",
) -> ImageNetwork:
    """The network in a file of any kind: ours, a run's folder, or safetensors, .pt, Keras or ONNX that another program
    wrote; nothing in it is run.

    ``arch`` may have arguments (``"resnet9:width=32"``), or they are ``arguments``. What is left out of it, of
    ``classes``, ``class_names`` (``"imagefolder"``: those of ``clean`` in the order of texts), ``input_size``
    (channels, height, width), ``range`` and ``channel_order`` is found out where that is possible, on ``clean``
    pictures where it takes such. A file of ours says all that itself; what is given must then agree; that of a wrapped
    module of your own needs a ``module`` of the same shapes. It is put on ``device``: "cpu", "cuda", "cuda:1", "mps",
    or "auto", the best that there is; there all that is done with it is done. Raises ``BadInput`` for whatever cannot
    be used.
    """
    if module is not None:
        return open_network(path, module=module, device=device)
    options = ForeignOptions(
        arch=arch,
        arguments=dict(arguments or {}),
        classes=classes,
        class_names=class_names if class_names is None or class_names == IMAGEFOLDER else tuple(class_names),
        input_size=input_size,
        input_range=range if range is None or isinstance(range, str) else written_range(range),
        channel_order=channel_order,
    )
    with working_on(device):
        return open_any(path, options, clean=clean)


def measure(
    network: ImageNetwork, test: ImageData | Splits, backdoor: Backdoor | None = None, **settings: Any
) -> Measured:
    """How well ``network``, a classifier or a detector, does on ``test`` (of three sets, the test part), and how well
    ``backdoor`` works on it.

    ``settings`` as those of ``referee.measure.measure``: ``reference`` (a clean network to compare with), ``jitter``,
    ``seed``. The figures are attributes: ``clean_accuracy``, ``asr``, ``robust_accuracy``, of a detector ``map50``.
    Classes are compared by name, whatever their order; ``backdoor`` may name them too, and its numbers are the
    network's. Raises ``BadInput`` where the data has classes that the network has not.
    """
    from badnets.backdoors.backdoor import Backdoor
    from badnets.networks.inference import align_classes
    from badnets.referee.measure import measure as measured

    if backdoor is not None and not isinstance(backdoor, Backdoor):
        got = type(backdoor).__name__
        raise BadInput(f"expected a backdoor, got {got}; make one: badnets.Backdoor(trigger, rule)")
    known = _network(network)
    return measured(known, align_classes(one_set(test, "test"), known), backdoor, **settings)


def audit(
    network: ImageNetwork,
    data: ImageData | Splits | None = None,
    references: Sequence[ImageNetwork] | Path | str = (),
    *,
    pictures: int = 500,
    alpha: float = 0.05,
    detectors: Sequence[Detector] = (),
    students: int = 0,
    budget_s: float | None = None,
    seed: int = 1,
) -> Finding:
    """Whether ``network`` is backdoored, towards which class, and how sure that is.

    ``data`` are clean pictures (of three sets, the test part), of which at most ``pictures`` are used; ``references``
    clean networks of the same architecture, classes and input (19 at least for ``alpha`` of 0.05), or a folder of
    their files. Without references that fit, its classes are compared with each other (or, asked for ``students``, it
    with so many copies that it teaches), as those of other kinds of networks are. Where nobody has measured what is
    usual of such networks, the verdict is "cannot-tell". Of a detector the class that it gives to objects is audited,
    with pictures with boxes. ``detectors`` in place of the usual ones (``badnets.audits.detectors.make_detector``) can
    tell something only beside references.
    Raises ``BadInput`` for what does not fit together.
    """
    from dataclasses import replace

    from badnets.audits.audit import Audit
    from badnets.audits.reference import Reference
    from badnets.core.seed import Seed
    from badnets.networks.inference import align_classes
    from badnets.networks.surgery.objects import as_classifier, as_labelled
    from badnets.referee.audit import Subject, finding, references_of, some_of
    from badnets.referee.references import check_task, network_files

    network, shown = _network(network), None
    if data is not None:
        given = one_set(data, "test")
        check_task(network, given)
        shown = some_of(as_labelled(align_classes(given, network)), pictures, Seed(seed))
    if isinstance(references, str | Path):
        paths = network_files(Path(references)) if Path(references).is_dir() else []
        if not paths:
            raise BadInput(f"expected a folder with network files in references, got {references}")
        known = references_of(paths, network, shown)
    else:
        opened = [partial(as_classifier, one) for one in map(_network, references)]
        known = [Reference(f"reference {i}", one) for i, one in enumerate(opened, 1)]
    network = as_classifier(network)
    usual = Audit(alpha=alpha, students=students)
    settings = replace(usual, detectors=tuple(detectors)) if detectors else usual
    subject = Subject(
        network=network, data=shown, references=known, settings=settings, seed=Seed(seed), budget_s=budget_s
    )
    return finding(subject, model=network.architecture)


def certify(
    network: ImageNetwork,
    data: Splits,
    method: Repair,
    *,
    backdoor: Backdoor | None = None,
    triggered: ImageData | None = None,
    clean_network: ImageNetwork | None = None,
    pictures: int = 3000,
    seed: int = 1,
    budget_s: float | None = None,
    allowance: float = 0.01,
) -> Certificate:
    """What ``method`` cures in ``network`` and what it costs, in memory; files are the command line's.

    The method sees ``pictures`` clean pictures of ``data.train``; ``data.test`` is for measuring. The truth is a
    ``backdoor``, or ``triggered`` pictures labelled with the attacker's target, or unknown. ``clean_network`` goes
    through the same repair. ``allowance``: the clean accuracy that a cure may cost, 0..1. Raises ``BadInput`` for what
    does not fit together, ``CannotTell`` where no network came out.
    """
    from badnets.core.seed import Seed
    from badnets.networks.inference import align_classes
    from badnets.referee import certify as referee
    from badnets.referee.bench import Bench, defender_and_spare
    from badnets.referee.case import Opened, RepairCase
    from badnets.referee.spec import DataSpec
    from badnets.referee.store import Clock
    from badnets.referee.truth import KnownTrigger, NothingKnown, TriggeredPictures, Truth

    clock, stream = Clock(), Seed(seed)
    if backdoor is not None and triggered is not None:
        raise BadInput("expected either 'backdoor' or 'triggered', got both; give the one you know more by")
    network, clean = _network(network), None if clean_network is None else _network(clean_network)
    truth: Truth = NothingKnown()
    if backdoor is not None:
        truth = KnownTrigger(backdoor=backdoor, seed=stream.derive("measure"))
    elif triggered is not None:
        truth = TriggeredPictures(pictures=align_classes(triggered, network))
    test = align_classes(data.test, network)
    defender, spare = defender_and_spare(align_classes(data.train, network), pictures, stream)
    with temporary_folder() as place:
        bench = Bench(
            defender=defender, spare=spare, test=test, truth=truth, seed=stream, budget_s=budget_s, folder=place
        )
        case = RepairCase(
            model=Path(network.architecture),
            out=place / "repaired.safetensors",
            data=test.name,
            seed=seed,
            allowance=allowance,
            triggered=None if triggered is None else triggered.name,
        )
        known = None if clean is None else lambda: clean
        spec = DataSpec.model_construct(name=test.name)
        opened = Opened(case=case, spec=spec, network=network, bench=bench, clean=known)
        done, repaired = bench.repaired(method, network, into=case.out)
        certificate = referee.certificate(opened, method, done, repaired, clock)
    return certificate.model_copy(update={"network": "", "model": "", "files": {}})


def _network(network: object) -> ImageNetwork:
    if isinstance(network, ImageNetwork):
        return network
    if isinstance(network, nn.Module):
        raise BadInput(
            f"expected a network of badnets, got a bare {type(network).__name__}; wrap it: "
            "badnets.wrap(module, class_names=[...], input_size=(3, 32, 32))"
        )
    raise BadInput(f"expected a network, got {type(network).__name__}; open a file with badnets.open(path)")
