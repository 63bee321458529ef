"""Every data source by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from badnets.core.errors import BadInput
from badnets.data.formats.folder import load_folder
from badnets.data.formats.hdf5 import load_hdf5
from badnets.data.formats.idx import load_idx
from badnets.data.formats.npz import load_npz
from badnets.data.formats.voc import load_voc
from badnets.data.images import Splits
from badnets.data.request import Request, finish
from badnets.data.sets.cifar10 import load_cifar10
from badnets.data.sets.digits import load_digits
from badnets.data.sets.gtsrb import load_gtsrb
from badnets.data.sets.lisa import load_lisa
from badnets.data.sets.mnist import load_fashion_mnist, load_mnist


@dataclass(frozen=True, kw_only=True)
class Source:
    """One line of the table: how to load it, what it is, and whether it is a kind of file that needs a path."""

    load: Callable[[Request], Splits]
    summary: str
    needs_path: bool = False


def _drawn(kind: str, style: str | None, *, size: int, train: int, test: int) -> Callable[[Request], Splits]:
    """Drawn signs or scenes; a style in the name is the default of the option."""

    def load(request: Request) -> Splits:
        from badnets.data.drawn.scenes import load_scenes
        from badnets.data.drawn.signs import load_signs

        if request.path is not None:
            raise BadInput(f"expected no path with data {request.name!r}, got {request.path}; the {kind} are drawn")
        options = request.settings(style=style or "us", size=size, train=train, test=test, seed=0)
        if style is not None and options["style"] != style:
            raise BadInput(f"expected style {style!r} with data {request.name!r}, got {options['style']!r}; choose one")
        if request.size is not None:
            h, w = request.size
            if h != w:
                raise BadInput(f"expected one number as the size of {kind}, which are square, got {h} x {w}")
            if request.options.get("size", h) != h:
                raise BadInput(f"expected one size of {kind}, got {h} and the option size {options['size']}")
            options["size"] = h
        draw: Callable[..., Splits] = {"signs": load_signs, "scenes": load_scenes}[kind]
        made = draw(**options, cache=True, progress=partial(request.report, f"drawing {kind}"))
        drawn = Request(name=request.name, select=request.select, seed=request.seed, grey=request.grey)
        return finish(drawn, made.train, made.test)

    return load


_signs = partial(_drawn, "signs", size=32, train=10_000, test=2_000)
_scenes = partial(_drawn, "scenes", size=160, train=2_000, test=500)

SOURCES: Mapping[str, Source] = MappingProxyType(
    {
        "signs": Source(
            load=_signs(None), summary="traffic signs that our code draws (options style, size, train, test)"
        ),
        "signs-us": Source(load=_signs("us"), summary="drawn traffic signs, US style"),
        "signs-eu": Source(load=_signs("eu"), summary="drawn traffic signs, European style"),
        "scenes": Source(
            load=_scenes(None), summary="drawn pictures of 1 to 4 signs, with boxes (options style, size, train, test)"
        ),
        "scenes-us": Source(load=_scenes("us"), summary="drawn pictures of 1 to 4 signs, with boxes, US style"),
        "scenes-eu": Source(load=_scenes("eu"), summary="drawn pictures of 1 to 4 signs, with boxes, European style"),
        "digits": Source(load=load_digits, summary="1,797 handwritten digits, 8x8 grey, from scikit-learn"),
        "mnist": Source(load=load_mnist, summary="60,000 + 10,000 handwritten digits, 28x28 grey"),
        "fashion-mnist": Source(load=load_fashion_mnist, summary="60,000 + 10,000 pieces of clothing, 28x28 grey"),
        "cifar10": Source(load=load_cifar10, summary="50,000 + 10,000 pictures of ten classes, 32x32 color"),
        "gtsrb": Source(
            load=load_gtsrb, summary="German traffic signs, 43 classes (options classes, superclasses, equalize, crop)"
        ),
        "lisa": Source(load=load_lisa, summary="crops of U.S. traffic signs, 47 classes (option superclasses)"),
        "voc": Source(load=load_voc, summary="pictures with boxes in PASCAL VOC's layout (option classes)"),
        "folder": Source(load=load_folder, summary="a folder of pictures, or a tar of one", needs_path=True),
        "npz": Source(load=load_npz, summary="pictures and labels in a NumPy .npz file", needs_path=True),
        "hdf5": Source(
            load=load_hdf5, summary="pictures and labels in an HDF5 file (options test, classes)", needs_path=True
        ),
        "idx": Source(load=load_idx, summary="any set as four IDX files, the layout of MNIST", needs_path=True),
    }
)
"""Names for ``load`` and ``badnets list datasets``."""
