"""Headers of image files: size, limit of pixels, damaged blocks."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from kerasloc.data import check, load_image
from kerasloc.data.headers import MAX_SCANS, check_pixels, read_header, read_size
from kerasloc.data.table import Table

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
SIDE = 10_001  # above the limit of 100 megapixels


def encoded(image, format, **options):
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def noise(rows=20, cols=30, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, cols, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def written(tmp_path):
    """Function that writes bytes and returns the path."""

    def write(content, name="x.png"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return write


def check_one(path, **options):
    return check(Table([path], ("cat",), [[1]]), **options)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": Image.Exif()}])
def test_sizes_are_those_of_the_files_whatever_their_names(written, format, options):
    path = written(encoded(noise(20, 30), format, **options))
    assert read_size(path) == (20, 30)
    header = read_header(path, max_pixels=600)
    assert (header.rows, header.cols, header.orientation) == (20, 30, 1)
    with pytest.raises(ValueError, match=r"30 x 20 pixels, 0\.0006 megapixels"):
        read_header(path, max_pixels=599)


def bomb(format):
    """A small file of a huge image: its pixels, or a header alone."""
    data = bytearray(encoded(noise(), format))
    offset, kind = {
        "PNG": (16, ">2I"),
        "GIF": (6, "<2H"),
        "BMP": (18, "<2I"),
        "WEBP": (26, "<2H"),
        "JPEG": (data.find(b"\xff\xc0") + 5, ">2H"),
    }.get(format, (0, ""))
    if format == "TIFF":
        return encoded(Image.new("1", (SIDE, SIDE)), "TIFF", compression="group4")
    struct.pack_into(kind, data, offset, SIDE, SIDE)
    if format == "PNG":
        struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return bytes(data)


@pytest.mark.parametrize("format", FORMATS)
def test_a_huge_image_is_named_before_it_is_decoded(written, format):
    path = written(bomb(format))
    message = rf"{SIDE} x {SIDE} pixels, 100 megapixels.*100.*max-megapixels"
    with pytest.raises(ValueError, match=rf"x\.png(?s:.*){message}"):
        load_image(path)
    with pytest.raises(ValueError, match=rf"x\.png \(row 0\).*{message}"):
        check_one(path)
    image = written(encoded(Image.new("L", (SIDE, 1)), "PNG"), "image.png")
    table = Table([image], ("cat",), [[1]], masks=[path])
    with pytest.raises(ValueError, match=rf"its mask .*x\.png.*{message}"):
        check(table)


def test_the_limit_of_pixels_is_an_option(written):
    path = written(encoded(noise(20, 30), "PNG"))
    for read in (load_image, check_one):
        read(path, max_pixels=600)
        with pytest.raises(ValueError, match=r"x\.png"):
            read(path, max_pixels=599)
    check_pixels(1, 5, 5)
    with pytest.raises(ValueError, match="0 x 5"):
        check_pixels(5, 0, 5)


@pytest.mark.slow
def test_20_kb_of_13000_x_13000_bits_cost_no_memory(written):
    path = written(encoded(Image.new("1", (13000, 13000)), "PNG", compress_level=9))
    code = (
        "import resource, sys\n"
        "from kerasloc.data import load_image\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "from PIL import Image; Image.new('L', (3, 3)).save(sys.argv[1] + '.png')\n"
        "load_image(sys.argv[1] + '.png'); start = peak()\n"
        "try: load_image(sys.argv[1])\n"
        "except ValueError as error: assert '169 megapixels' in str(error)\n"
        "print(peak() - start)"
    )
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # kB


# Damage


def smooth(turn=0):
    """A picture whose GIF file has long codes."""
    rows, cols = np.mgrid[:60, :80]
    return Image.fromarray(((rows // 5 * cols // 9) % 30).astype(np.uint8)).rotate(turn)


def animation():
    frames = [smooth(turn) for turn in (0, 90, 180)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


FILES = {format: encoded(noise(), format) for format in FORMATS} | {
    "animated GIF": animation(),
    "progressive JPEG": encoded(noise(), "JPEG", progressive=True),
    "lossless WEBP": encoded(noise(), "WEBP", lossless=True),
    "LZW TIFF": encoded(noise(), "TIFF", compression="tiff_lzw"),
    "8-bit BMP": encoded(noise().quantize(32), "BMP"),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of damaged.*TIFF files
@pytest.mark.parametrize("kind", FILES)
def test_a_file_cut_anywhere_is_named(written, kind):
    content = FILES[kind]
    for length in {1, 2, *np.linspace(3, len(content) - 1, 9).astype(int)}:
        path = written(content[:length])
        for read in (load_image, check_one):
            with pytest.raises(ValueError, match=r"x\.png"):
                read(path)


@pytest.mark.parametrize("kind", ["GIF", "animated GIF"])
def test_flipped_codes_of_a_gif_are_named(written, kind):
    content = animation() if "animated" in kind else encoded(smooth(), "GIF")
    start = content.rindex(b"\x2c\0\0\0\0")  # of the last frame
    rng, named = np.random.default_rng(0), 0
    for offset in rng.integers(start + 12, len(content), 60):
        flipped = bytearray(content)
        flipped[offset] ^= 1 << int(rng.integers(8))
        path = written(bytes(flipped))
        try:
            read_header(path)
        except ValueError as error:
            named += "GIF file" in str(error)
            with pytest.raises(ValueError, match=r"x\.png"):
                load_image(path)
    assert named >= 40  # a code for another of the same length cannot be noticed


def gif(*parts, screen=(2, 2), flags=0x80):
    """A GIF file of blocks, with two colors."""
    head = b"GIF89a" + struct.pack("<2HB2x", *screen, flags) + bytes(3) + b"\xff" * 3
    return head + b"".join(parts)


def frame(data, place=(0, 0), size=(2, 2), bits=2):
    block = struct.pack("<B4HBB", 0x2C, *place, *size, 0, bits)
    return block + bytes([len(data)]) + data + b"\0"


def lzw(*codes, width=3):
    number = sum(code << width * i for i, code in enumerate(codes))
    return number.to_bytes(-(-len(codes) * width // 8), "little")


FOUR = lzw(4, 0, 1, 0, 5)  # clear, three pixels, end
GIFS = {
    "too few pixels": gif(frame(FOUR), b";"),
    "invalid code": gif(frame(lzw(4, 0, 7, 1, 1, 5)), b";"),
    "no end of file": gif(frame(lzw(4, 0, 1, 0), size=(3, 1), place=(0, 0))),
    "outside the screen": gif(frame(FOUR, (1, 0), (3, 1)), b";"),
    "unknown block": gif(b"x", frame(FOUR, size=(3, 1)), b";"),
    "bits of codes": gif(frame(FOUR, size=(3, 1), bits=12), b";"),
}


@pytest.mark.parametrize("kind", GIFS)
def test_a_gif_with_damaged_blocks_is_named(written, kind):
    with pytest.raises(ValueError, match=r"damaged.*GIF file"):
        read_header(written(GIFS[kind]))


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (50, 61), (300, 301)])
@pytest.mark.parametrize("colors", [2, 3, 64, 256])
@pytest.mark.parametrize("options", [{}, {"interlace": 0}, {"transparency": 0}])
def test_every_valid_gif_is_read(written, size, colors, options):
    image = noise(*size).quantize(colors)
    path = written(encoded(image, "GIF", **options), "x.gif")
    expected = np.asarray(image.convert("RGB")) / 255
    np.testing.assert_allclose(load_image(path), expected, atol=1e-6)
    read_header(written(gif(frame(FOUR, size=(3, 1)), b";", screen=(3, 1))))


def test_a_png_file_with_a_wrong_checksum_anywhere_is_named(written):
    content = encoded(noise(), "PNG", dpi=(30, 30), pnginfo=None)
    for start in (content.find(kind) for kind in (b"IHDR", b"pHYs", b"IDAT", b"IEND")):
        damaged = bytearray(content)
        damaged[start + 3] ^= 32
        with pytest.raises(ValueError, match=r"damaged.*PNG|Unknown"):
            read_header(written(bytes(damaged)))
    huge = content[:33] + b"\x7f\xff\xff\xff" + content[37:]  # length of a chunk
    with pytest.raises(ValueError, match=r"damaged.*PNG"):
        read_header(written(huge))


def test_exif_data_behind_the_pixels_of_a_png_counts(written):
    exif = Image.Exif()
    exif[274] = 6
    content = encoded(noise(), "PNG")
    data = b"eXIf" + exif.tobytes()[6:]
    checksum = struct.pack(">I", zlib.crc32(data))
    chunk = struct.pack(">I", len(data) - 4) + data + checksum
    path = written(content[:-12] + chunk + content[-12:])
    assert read_header(path).orientation == 6
    assert load_image(path).shape == (30, 20, 3)


def test_a_jpeg_of_thousands_of_scans_is_named(written):
    content = encoded(noise(), "JPEG", progressive=True)
    scan = content.rindex(b"\xff\xda")
    many = content[:scan] + content[scan:-2] * MAX_SCANS + content[-2:]
    with pytest.raises(ValueError, match=rf"x\.png.*scans.*{MAX_SCANS}"):
        load_image(written(many))
    load_image(written(content + b"\xff\xda" * 999))  # behind the end is a film


@pytest.mark.parametrize("content", [b"", b"text", b"RIFF\0\0\0\0WAVE", b"%!PS-Adobe"])
def test_a_file_of_another_format_is_named(written, content):
    with pytest.raises(ValueError, match=r"x\.png(?s:.*)(Unknown image|empty)"):
        load_image(written(content))


def test_a_missing_file_stays_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.png"):
        load_image(tmp_path / "none.png")
