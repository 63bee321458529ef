from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from badnets.core.errors import BadInput
from badnets.data.formats.contents import is_tar, read_members, stem


def tar_bytes(files: dict[str, bytes], extra: tarfile.TarInfo | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if extra is not None:
            tar.addfile(extra)
    return out.getvalue()


FILES = {"./a/1.png": b"x" * 700, "a/2.txt": b"y" * 3000, "b/3.PNG": b"z"}
WHOLE = tar_bytes(FILES)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_reads_all_kinds(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(pack(WHOLE))
    assert [(m.path, m.content) for m in read_members(path)] == [
        ("a/1.png", b"x" * 700),
        ("a/2.txt", b"y" * 3000),
        ("b/3.PNG", b"z"),
    ]
    assert [m.path for m in read_members(path, (".png",))] == ["a/1.png", "b/3.PNG"]


@pytest.mark.parametrize(
    "name", ["/etc/passwd.png", "../x.png", "a/../../x.png", "a/../x.png", "C:\\x.png", "..\\x.png", "C:/x.png"]
)
def test_path_that_leaves_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_bytes({"a/1.png": b"", name: b""}))
    with pytest.raises(BadInput, match=r"x.tar, got a path that leaves its folder: .*do not trust this archive"):
        list(read_members(path, (".jpg",)))


def special(kind: bytes, name: str, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a/../../../x"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_link_that_leaves_is_refused(tmp_path: Path, kind: bytes, target: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_bytes({}, special(kind, "a/l.png", target)))
    with pytest.raises(BadInput, match=r"a path that leaves its folder: 'a/l.png' links to"):
        list(read_members(path))


def test_link_inside_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_bytes({"a/1.png": b""}, special(tarfile.SYMTYPE, "b/l.png", "../a/1.png")))
    assert [m.path for m in read_members(path)] == ["a/1.png"]


@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_device_is_refused(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(tar_bytes({}, special(kind, "a/d")))
    with pytest.raises(BadInput, match="got a device: 'a/d'"):
        list(read_members(path))


DATA_ENDS = 512 * (1 + 2 + 1 + 6 + 1 + 1)  # header and content blocks of the three files; the end mark follows


@given(st.integers(0, DATA_ENDS), st.sampled_from([bytes, gzip.compress]))
def test_truncated_anywhere(
    tmp_path_factory: pytest.TempPathFactory, keep: int, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path_factory.mktemp("cut") / "x.tar"
    path.write_bytes(pack(WHOLE[:keep]))
    with pytest.raises(BadInput, match=r"expected a whole tar archive at .*x.tar, got a truncated or damaged one"):
        list(read_members(path))


@given(st.integers(0, len(gzip.compress(WHOLE)) - 1))
def test_truncated_gzip_anywhere(tmp_path_factory: pytest.TempPathFactory, keep: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "x.tar.gz"
    path.write_bytes(gzip.compress(WHOLE)[:keep])
    with pytest.raises(BadInput, match="truncated or damaged"):
        list(read_members(path))


def test_damage_is_found_by_the_checksum(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(WHOLE, compresslevel=0))
    content[content.index(b"xxx") + 100] ^= 1
    (tmp_path / "x.tgz").write_bytes(content)
    with pytest.raises(BadInput, match=r"truncated or damaged one .*CRC"):
        list(read_members(tmp_path / "x.tgz"))


def test_no_tar_at_all(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"hello" * 1000)
    with pytest.raises(BadInput, match="whole tar archive"):
        list(read_members(tmp_path / "x.tar"))
    with pytest.raises(BadInput, match=r"readable tar archive at .*absent.tar"):
        list(read_members(tmp_path / "absent.tar"))


@pytest.mark.parametrize(
    ("name", "tar", "bare"),
    [
        ("cifar10-jpeg.tar.gz", True, "cifar10-jpeg"),
        ("a.b.TGZ", True, "a.b"),
        ("x.tar", True, "x"),
        ("x.tar.xz", True, "x"),
        ("x.npz", False, "x"),
    ],
)
def test_names(tmp_path: Path, name: str, tar: bool, bare: str) -> None:
    (tmp_path / name).write_bytes(b"")
    assert is_tar(tmp_path / name) is tar
    assert stem(tmp_path / name) == bare
    (tmp_path / "v1.2").mkdir()
    assert stem(tmp_path / "v1.2") == "v1.2"
