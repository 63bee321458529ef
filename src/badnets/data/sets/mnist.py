"""MNIST and Fashion-MNIST: names, where to get them, and how to tell one from the other.

Source: Y. LeCun, C. Cortes, C. Burges, The MNIST database of handwritten digits; H. Xiao, K. Rasul, R. Vollgraf,
Fashion-MNIST, arXiv:1708.07747.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from badnets.data.classes import class_table
from badnets.data.formats.idx import IdxFiles, find_idx, read_idx, read_set
from badnets.data.images import Splits
from badnets.data.registry import source
from badnets.data.request import Request
from badnets.data.sets.download import Remote
from badnets.data.sets.locate import locate

_MNIST_URLS = ("https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/")
_FASHION_URLS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
)

# SHA-256 of the unpacked files: computed from the original content, whatever packed it.
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# SHA-256 of the gzip files, as TensorFlow Datasets lists them (tensorflow_datasets/url_checksums/fashion_mnist.txt).
_FASHION_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}


def _remotes(urls: tuple[str, ...], sums: Mapping[str, str], *, unpacked: bool) -> tuple[Remote, ...]:
    return tuple(
        Remote(file=file, urls=tuple(url + file for url in urls), sha256=sha256, unpacked=unpacked)
        for file, sha256 in sums.items()
    )


@dataclass(frozen=True, kw_only=True)
class IdxSet:
    """A named set in this layout.

    ``folders`` are the names that its folder may have, ``first_labels`` the first ten of its training labels, by which
    it is told from another set whose files have the same names.
    """

    name: str
    first_labels: tuple[int, ...]
    class_names: tuple[str, ...]
    folders: tuple[str, ...]
    remotes: tuple[Remote, ...]


MNIST = IdxSet(
    name="mnist",
    first_labels=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    class_names=tuple("0123456789"),
    folders=("mnist", "MNIST"),
    remotes=_remotes(_MNIST_URLS, _MNIST_SHA256, unpacked=True),
)
FASHION_MNIST = IdxSet(
    name="fashion-mnist",
    first_labels=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
    class_names=class_table("fashion-mnist")[0],
    folders=("fashion-mnist", "FashionMNIST"),
    remotes=_remotes(_FASHION_URLS, _FASHION_SHA256, unpacked=False),
)


@source("mnist", "60,000 + 10,000 handwritten digits, 28x28 grey")
def load_mnist(request: Request) -> Splits:
    """MNIST: 60,000 + 10,000 grey pictures of 28x28, ten digits."""
    return _load_named(MNIST, request)


@source("fashion-mnist", "60,000 + 10,000 pieces of clothing, 28x28 grey")
def load_fashion_mnist(request: Request) -> Splits:
    """Fashion-MNIST: 60,000 + 10,000 grey pictures of 28x28, ten kinds of clothing."""
    return _load_named(FASHION_MNIST, request)


def _load_named(which: IdxSet, request: Request) -> Splits:
    request.settings()

    def find(place: Path) -> IdxFiles | None:
        """Both sets have files of the same names: never take one for the other."""
        files = find_idx(place)
        return None if files is None or _is_other_set(files, which) else files

    wanted = "four IDX files, train-images-idx3-ubyte[.gz] and so on"
    files = locate(which.name, request, find, wanted=wanted, folders=which.folders, remotes=which.remotes)
    return read_set(files, which.class_names, request)


def _is_other_set(files: IdxFiles, which: IdxSet) -> bool:
    labels = read_idx(files.train_labels, 1)
    others = (other.first_labels for other in (MNIST, FASHION_MNIST) if other is not which)
    return len(labels) == 60_000 and tuple(labels[:10].tolist()) in others
