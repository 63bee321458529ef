from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from badnets.backdoors.triggers.picture import read_png
from badnets.core.errors import BadInput
from badnets.data.formats import album as album_module
from badnets.data.formats import decode as decode_module
from badnets.data.formats.album import decode_into, widen
from badnets.data.formats.contents import File
from badnets.data.formats.decode import DAMAGED, FORMATS, decode, read_picture
from badnets.data.images import ImageData
from badnets.defenses.stamps import read_stamp

RNG = np.random.default_rng(0)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("orientation", [None, 1, 3, 6, 8])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_what_a_picture_was_before_it_was_resized(format: str, orientation: int | None) -> None:
    image, exif = Image.fromarray(noise(5, 9, 3)), Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    item = File("x", encoded(image, format, exif=exif), 100)
    album = decode_into(io.BytesIO(), [item], size=(4, 4), grey=None, report=lambda *_: None)
    assert album.own == [((9, 5) if orientation in (6, 8) else (5, 9), orientation or 1)]
    assert album.shapes == [(4, 4, 3)]


@pytest.mark.parametrize("format", ["PNG", "BMP", "PPM", "TIFF"])
def test_color_and_grey_come_back(format: str) -> None:
    color, grey = noise(5, 4, 3), noise(5, 4)
    assert np.array_equal(decode(encoded(Image.fromarray(color), format)), color)
    assert np.array_equal(decode(encoded(Image.fromarray(grey), format)), grey[..., None])


def test_grey_by_wish() -> None:
    color, grey = Image.fromarray(noise(5, 4, 3)), Image.fromarray(noise(5, 4))
    assert np.array_equal(decode(encoded(color), grey=True)[..., 0], np.asarray(color.convert("L")))
    assert np.array_equal(decode(encoded(grey), grey=False), np.repeat(np.asarray(grey)[..., None], 3, axis=2))


def test_one_bit_and_sixteen_bits_are_grey() -> None:
    bits = Image.fromarray(noise(8, 8) > 127)
    assert set(np.unique(decode(encoded(bits)))) == {0, 255}
    deep = np.array([[0, 255, 256, 65535]], np.uint16)
    assert decode(encoded(Image.fromarray(deep)))[0, :, 0].tolist() == [0, 0, 1, 255]


def test_palette_is_color() -> None:
    image = Image.fromarray(noise(6, 6, 3)).quantize(8)
    assert np.array_equal(decode(encoded(image)), np.asarray(image.convert("RGB")))


def test_transparency_is_on_white() -> None:
    pixels = np.array([[[10, 20, 30, 0], [10, 20, 30, 255]]], np.uint8)
    assert decode(encoded(Image.fromarray(pixels))).tolist() == [[[255, 255, 255], [10, 20, 30]]]
    grey = Image.fromarray(np.array([[[10, 0], [10, 255]]], np.uint8), "LA")
    assert decode(encoded(grey)).tolist() == [[[255], [10]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 1, 2, 3])
    palette.putdata([0, 1])
    assert decode(encoded(palette, transparency=0)).tolist() == [[[255, 255, 255], [1, 2, 3]]]


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_orientation_is_respected(format: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter to the right
    pixels = np.zeros((8, 16, 3), np.uint8)
    pixels[:, :8] = 255
    turned = decode(encoded(Image.fromarray(pixels), format, exif=exif))
    assert turned.shape == (16, 8, 3)
    assert turned[2, 4, 0] > 200
    assert turned[-3, 4, 0] < 50


@given(st.integers(1, 12), st.integers(1, 12), st.booleans())
def test_size_is_image_datas_resize(h: int, w: int, grey: bool) -> None:
    pixels = noise(7, 9) if grey else noise(7, 9, 3)
    expected = ImageData.of(pixels[None], [0]).resize((h, w)).images()[0]
    assert np.array_equal(decode(encoded(Image.fromarray(pixels)), size=(h, w)), expected)


def test_many_in_order_with_the_damaged_ones_listed(tmp_path: Path) -> None:
    pictures = [noise(3, 3, 3) for _ in range(200)]
    contents = [encoded(Image.fromarray(p)) for p in pictures]
    items = [File(f"{i}.png", c, 100_000 if i < 128 else len(c), i + 1) for i, c in enumerate(contents)]
    items[7] = File("7.png", contents[7][:40], 40)
    file = tmp_path / "8.png"
    file.write_bytes(contents[8])
    items[8] = File("8.png", file, 40)
    items[9] = File("9.png", tmp_path / "absent.png", 40)
    items[10] = File("10.png", b"GIF89a, they said", 40)
    sink, steps = io.BytesIO(), []
    album = decode_into(sink, items, size=None, grey=None, report=lambda *step: steps.append(step))
    shapes, damaged = album.shapes, album.damaged
    assert [path for path, _ in damaged] == ["7.png", "9.png", "10.png"]
    assert dict(damaged)["10.png"] == "not a picture"
    kept = [p for i, p in enumerate(pictures) if i not in (7, 9, 10)]
    assert np.array_equal(np.frombuffer(sink.getvalue(), np.uint8).reshape(-1, 3, 3, 3), np.stack(kept))
    assert shapes == [(3, 3, 3)] * 197
    assert steps[-1] == (200, 200)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright_as_pillow_does(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    for format in ("JPEG", "PNG"):
        content = encoded(Image.fromarray(noise(5, 9, 3)), format, exif=exif)
        with Image.open(io.BytesIO(content)) as image:
            assert np.array_equal(decode(content), np.asarray(ImageOps.exif_transpose(image)))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16", "I", "key"])
@pytest.mark.parametrize("grey", [None, False, True])
def test_bands_have_the_same_pixels(mode: str, grey: bool | None, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Image.fromarray((noise(23, 17).astype(np.uint16) << 8) + noise(23, 17))
    color = Image.fromarray(noise(23, 17, 4), "RGBA")
    image = deep.convert(mode) if mode.startswith("I") else color.convert("RGB" if mode == "key" else mode)
    more = {"transparency": image.getpixel((3, 3))} if mode == "key" else {}
    format = "TIFF" if mode in ("CMYK", "YCbCr", "I") else "PNG"
    content = encoded(image, format, **more)
    whole = decode(content, grey=grey)
    monkeypatch.setattr(decode_module, "_BAND", 40)
    assert np.array_equal(decode(content, grey=grey), whole)


def test_what_finds_no_room_is_decoded_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [noise(9, 9, 3) for _ in range(150)]
    items = [File(f"{i}.png", encoded(Image.fromarray(p)), 100_000, i) for i, p in enumerate(pictures)]
    for room in (0, 700, 5000):
        monkeypatch.setattr(album_module, "_ROOM", room)
        sink = io.BytesIO()
        decode_into(sink, items, size=None, grey=None, report=lambda *_: None)
        assert sink.getvalue() == np.stack(pictures).tobytes()


def test_pictures_that_are_far_larger_than_their_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(album_module, "PICTURES_FREE", 1 << 20)
    black = encoded(Image.new("RGB", (600, 600)))
    items = [File(f"{i}.png", black, len(black), i) for i in range(9)]
    with pytest.raises(BadInput, match=r"at most 200 times its own size in decoded pictures in .\.png.*BADNETS_LIMITS"):
        decode_into(io.BytesIO(), items, size=(4, 4), grey=None, report=lambda *_: None)
    real = encoded(Image.fromarray(noise(600, 600, 3)), "JPEG")
    decode_into(
        io.BytesIO(),
        [File(f"{i}", real, len(real), i) for i in range(9)],
        size=(4, 4),
        grey=None,
        report=lambda *_: None,
    )


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (np.array([[0, 0.5, 1]], np.float32), [0, 128, 255]),
        (np.array([[0, 1, 255]], np.float32), [0, 1, 255]),
        (np.array([[0, 256, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, -1, 255]], np.float32), "pixels are -1 to 255, expected floating-point numbers 0..1 or 0..255"),
        (np.array([[0, 1, 70000]], np.int32), "pixels are 0 to 70000, expected whole numbers 0..65535"),
        (np.array([[0, np.nan, 0.5]], np.float32), "pixels are not all finite numbers"),
        (np.array([[np.nan, np.nan, np.nan]], np.float32), "pixels are"),
    ],
)
def test_numbers_of_tiff(numbers: np.ndarray, expected: list[int] | str) -> None:
    content = encoded(Image.fromarray(numbers), "TIFF")
    if isinstance(expected, list):
        assert decode(content)[0, :, 0].tolist() == expected
        return
    with pytest.raises(ValueError, match=expected):
        decode(content)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("depth", "color", "key", "row", "expected"),
    [
        (2, 0, (2,), bytes([0b00011011]), [0, 85, 255, 255]),
        (4, 0, (3,), bytes([0x0F, 0x37]), [0, 255, 255, 119]),
        (16, 2, (0x0102, 0x0304, 0x0506), bytes(range(1, 13)), [255, 255, 255, 7, 9, 11]),
    ],
)
def test_the_transparent_color_of_a_png(
    depth: int, color: int, key: tuple[int, ...], row: bytes, expected: list[int]
) -> None:
    width = 2 if depth == 16 else 4
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, color, 0, 0, 0))
    body = _chunk(b"tRNS", struct.pack(f">{len(key)}H", *key)) + _chunk(b"IDAT", zlib.compress(b"\0" + row))
    assert decode(b"\x89PNG\r\n\x1a\n" + head + body + _chunk(b"IEND", b"")).ravel().tolist() == expected


def test_every_decoder_in_python_is_known_as_slow() -> None:
    Image.init()
    others = {"BLP1", "BLP2", "MSP", "dds_rgb", "fits_gzip", "xpm"}  # of formats that are not opened
    assert set(Image.DECODERS) <= set(decode_module._IN_PYTHON) | others


def test_of_an_icon_the_largest_and_deepest_picture_is_taken() -> None:
    large, small = Image.fromarray(noise(32, 32, 4)), Image.fromarray(noise(16, 16, 4))
    content = encoded(large, "ICO", append_images=[small], sizes=[(16, 16), (32, 32)])
    assert decode(content).shape == (32, 32, 3)
    assert np.array_equal(decode(content), decode(encoded(large)))


def test_widen() -> None:
    grey, color = noise(2, 3, 1), noise(1, 2, 3)
    out = io.BytesIO()
    widen(io.BytesIO(grey.tobytes() + color.tobytes()), [(2, 3, 1), (1, 2, 3)], out)
    assert out.getvalue() == np.repeat(grey, 3, axis=2).tobytes() + color.tobytes()


def _eps(path: Path) -> Path:
    Image.new("RGB", (8, 8), "red").save(path, "EPS")
    return path.rename(path.with_suffix(".png"))


@pytest.mark.parametrize(
    "read", [read_picture, read_png, lambda path: read_stamp(path, (3, 8, 8))], ids=["picture", "sticker", "stamp"]
)
def test_a_format_that_starts_a_program_is_refused_under_any_name(
    read: Callable[[Path], object], tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match=r"x\.png, got something else \((not a picture|cannot)"):
        read(_eps(tmp_path / "x.eps"))


@pytest.mark.parametrize("kind", sorted({*FORMATS} - {"SUN"}))  # which Pillow cannot write
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
def test_damage_is_told_as_damage(kind: str) -> None:
    good = encoded(Image.fromarray(noise(16, 16, 3)), kind)
    for at in range(0, len(good), max(1, len(good) // 150)):
        for damaged in (good[:at], good[:at] + bytes([good[at] ^ 255]) + good[at + 1 :], good[:at] + good[at + 9 :]):
            with suppress(BadInput, *DAMAGED):
                decode(damaged)
