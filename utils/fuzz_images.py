"""Damage image files by a seed, and count what the data check makes of them.

Example:
    python utils/fuzz_images.py --files 1000
"""

import collections
import contextlib
import io
import json
import os
import pathlib
import select
import struct
import subprocess
import sys
import tempfile
import time
import zlib

import numpy as np

ABOUT = """\
Writes images of every format, flips their bits, cuts them, forges numbers in them, and
writes small files of huge images; reads each in a process of its own as the check of a
dataset does. Counts files that were named (an error with the file's name), unnamed
(another error), equal (taken: the damage is in no pixel), changed (taken: the damage
changes pixels, which formats without checksums cannot notice), over (a limit) and run
(started a process). Exits with 1 if files were unnamed, over or run, or cut files were
taken."""
EXAMPLE = """\
example:
  python utils/fuzz_images.py --files 1000 --seed 1"""
OUTCOMES = ("named", "unnamed", "equal", "changed", "over", "run")
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork")
STARTUP = 120  # seconds of the reading process


def encode(image, format: str, **options) -> bytes:
    """Encode a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def valid_files() -> dict[str, bytes]:
    """Encode an image in every format that is read, by the names of files."""
    from PIL import Image

    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:48, :64]
    pixels = np.stack([rows * 5, cols * 4, rows * cols % 256], axis=-1).astype(np.uint8)
    pixels[10:30, 20:40] = rng.integers(0, 256, (20, 20, 3))
    color, gray = Image.fromarray(pixels), Image.fromarray(pixels[..., 0])
    palette = color.quantize(64)
    frames = [color.rotate(turn).quantize(64) for turn in (90, 180)]
    files = {
        "color.jpg": encode(color, "JPEG"),
        "progressive.jpg": encode(color, "JPEG", progressive=True),
        "color.png": encode(color, "PNG"),
        "deep.png": encode(Image.fromarray(pixels[..., 0].astype(np.uint16)), "PNG"),
        "palette.gif": encode(palette, "GIF"),
        "frames.gif": encode(palette, "GIF", save_all=True, append_images=frames),
        "color.bmp": encode(color, "BMP"),
        "palette.bmp": encode(palette, "BMP"),
        "color.tif": encode(color, "TIFF"),
        "lzw.tif": encode(color, "TIFF", compression="tiff_lzw"),
        "deflate.tif": encode(color, "TIFF", compression="tiff_adobe_deflate"),
        "color.webp": encode(color, "WEBP"),
        "lossless.webp": encode(color, "WEBP", lossless=True),
    }
    with contextlib.suppress(ImportError):
        files["gray.dcm"] = dicom(np.asarray(gray))
    return files


def dicom(pixels: np.ndarray, **elements) -> bytes:
    """Encode gray pixels in a DICOM file."""
    import pydicom

    syntax, storage = "1.2.840.10008.1.2.1", "1.2.840.10008.5.1.4.1.1.7"
    data = pydicom.Dataset()
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID = storage
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID = "1.2.3"
    bits = 8 * pixels.itemsize
    data.set_pixel_data(pixels, "MONOCHROME2", bits, generate_instance_uid=False)
    for name, value in elements.items():
        setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def with_checksums(data: bytes) -> bytes:
    """Write the checksums of a PNG file anew, as far as its chunks go."""
    result, start = bytearray(data), 8
    while start + 12 <= len(data):
        (length,) = struct.unpack_from(">I", data, start)
        end = start + 8 + length
        if end + 4 > len(data):
            break
        struct.pack_into(">I", result, end, zlib.crc32(data[start + 4 : end]))
        start = end + 4
    return bytes(result)


def bombs(files: dict[str, bytes]) -> dict[str, bytes]:
    """Encode images in small files that decode for long or to much, by name."""
    from PIL import Image

    bits = Image.new("1", (13000, 13000))
    still, progressive = files["palette.gif"], files["progressive.jpg"]
    scan = progressive.rindex(b"\xff\xda")
    result = {
        "bits.png": encode(bits, "PNG"),
        "size.png": with_checksums(resized(files["color.png"], 16, ">2I", 2**31 - 1)),
        "bits.gif": encode(bits, "GIF"),
        "size.gif": resized(still, 6, "<2H", 2**16 - 1),
        "bits.tif": encode(bits, "TIFF", compression="group4"),
        "size.bmp": resized(files["color.bmp"], 18, "<2I", 2**31 - 1),
        "size.webp": resized(files["color.webp"], 26, "<2H", 2**14 - 1),
        "gray.jpg": encode(bits.convert("L"), "JPEG", quality=1),
        "scans.jpg": progressive[:scan] + progressive[scan:-2] * 5000 + b"\xff\xd9",
    }
    if "gray.dcm" in files:
        side = {"Rows": 60000, "Columns": 60000}
        result["size.dcm"] = dicom(np.zeros((8, 8), np.uint8), **side)
    return result


def resized(data: bytes, offset: int, format: str, side: int) -> bytes:
    """Write another number of rows and columns in a header."""
    result = bytearray(data)
    struct.pack_into(format, result, offset, side, side)
    return bytes(result)


def flip(rng: np.random.Generator, data: bytes) -> bytes:
    """Flip one to three bits."""
    result = bytearray(data)
    for offset in rng.integers(len(data), size=rng.integers(1, 4)):
        result[offset] ^= 1 << int(rng.integers(8))
    return bytes(result)


def cut(rng: np.random.Generator, data: bytes) -> bytes:
    """Cut the end off."""
    return data[: rng.integers(len(data))]


def forge(rng: np.random.Generator, data: bytes) -> bytes:
    """Write an extreme number somewhere, and checksums of PNG that fit it."""
    result = bytearray(data)
    number = rng.choice([b"\0\0\0\0", b"\xff\xff\xff\x7f", b"\x7f\xff", b"\xff" * 4])
    offset = int(rng.integers(min(len(data), rng.choice([40, 1000, len(data)])) - 4))
    result[offset : offset + len(number)] = number
    return with_checksums(bytes(result)) if data[1:4] == b"PNG" else bytes(result)


MUTATIONS = {"flip": flip, "cut": cut, "forge": forge}


def cases(count: int, seed: int):
    """Yield kind, name, content and the valid file of ``count`` damaged files."""
    files = valid_files()
    for name, data in bombs(files).items():
        yield "bomb", name, data, files["color.png"]
    kinds = [(kind, name) for name in files for kind in MUTATIONS]
    for number in range(count):
        kind, name = kinds[number % len(kinds)]
        data = MUTATIONS[kind](np.random.default_rng([seed, number]), files[name])
        yield kind, name, data, files[name]


def read_files(memory: int) -> None:
    """Read the paths on standard input; write the outcome of each as json.

    Far beyond the limit of ``memory``, bytes, allocations fail.
    """
    import resource

    import tensorflow as tf

    from kerasloc.data import Table, check, load_image

    started = []
    sys.addaudithook(
        lambda event, _: started.append(event) if event in STARTS else None
    )
    output = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def outcome(path: str, valid: str) -> tuple[str, str]:
        try:
            check(Table([path], ("a",), [[1]]), progress=False)
            image = load_image(path)
        except Exception as error:  # any is counted
            text = str(error)
            memory = isinstance(error, MemoryError | tf.errors.ResourceExhaustedError)
            if memory or "MemoryError" in text or "OOM" in text:
                return "over", text
            named = isinstance(error, ValueError) and path in text
            return ("named" if named else "unnamed"), f"{type(error).__name__}: {text}"
        original = load_image(valid)
        same = image.shape == original.shape and (image == original).all()
        return ("equal" if same else "changed"), ""

    for line in sys.stdin:
        path, valid = json.loads(line)
        result, text = outcome(path, valid)
        result = "run" if started else result
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps([result, text, peak]), file=output, flush=True)
        if path == valid:  # the first
            pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + 4 * memory
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


class Reader:
    """Process that reads files within limits of time and memory.

    Args:
        seconds: Limit of time per file.
        memory: Limit of memory beyond that of the first, valid file, bytes.
    """

    def __init__(self, seconds: float, memory: float):
        self.seconds, self.memory = seconds, memory
        self.process = None
        self.start = 0.0

    def read(self, path: str, valid: str) -> tuple[str, str]:
        """Return the outcome of a file, and the text of its error."""
        if self.process is None:
            command = [sys.executable, __file__, "--read", str(int(self.memory))]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.process = subprocess.Popen(
                command, text=True, stderr=subprocess.DEVNULL, **pipes
            )
            self.start = self._ask(valid, valid, STARTUP)[2]
        result, text, memory = self._ask(path, valid, self.seconds)
        if memory - self.start > self.memory:
            self.close()
            return "over", f"{(memory - self.start) / 1e6:.0f} MB"
        return result, text

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
        self.process = None

    def _ask(self, path: str, valid: str, seconds: float) -> list:
        print(json.dumps([path, valid]), file=self.process.stdin, flush=True)
        ready = select.select([self.process.stdout], [], [], seconds)[0]
        line = self.process.stdout.readline() if ready else ""
        if not line:
            self.close()
            return ["over", f"{seconds} s" if not ready else "a crash", 0.0]
        return json.loads(line)


def run(options) -> dict[tuple[str, str], collections.Counter]:
    """Read all files; count outcomes by kind of damage and format."""
    counts = collections.defaultdict(collections.Counter)
    end = time.monotonic() + options.total_seconds
    reader = Reader(options.seconds, options.memory * 1e6)
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(reader):
        valid = pathlib.Path(folder, "valid")
        for number, case in enumerate(cases(options.files, options.seed)):
            if time.monotonic() > end:
                break
            kind, name, data, original = case
            path = pathlib.Path(folder, name)
            path.write_bytes(data)
            valid.write_bytes(original)
            outcome, text = reader.read(str(path), str(valid))
            counts[kind, path.suffix[1:]][outcome] += 1
            if options.keep and is_failure(kind, outcome):
                options.keep.mkdir(parents=True, exist_ok=True)
                target = options.keep / f"{number}-{kind}-{outcome}-{name}"
                target.write_bytes(data)
                target.with_name(f"{target.name}.txt").write_text(text)
    return counts


def is_failure(kind: str, outcome: str) -> bool:
    """Return whether a kind of damage must not have this outcome."""
    taken = ("equal", "changed") if kind in ("cut", "bomb") else ()
    return outcome in ("unnamed", "over", "run", *taken)


def report(counts: dict[tuple[str, str], collections.Counter]) -> str:
    """Format the counts, a row per kind of damage and format, and their sum."""
    total = sum(counts.values(), collections.Counter())
    lines = [("damage", "format", "tried", *OUTCOMES)]
    for (kind, format), counter in [*sorted(counts.items()), (("all", ""), total)]:
        numbers = (counter[outcome] for outcome in OUTCOMES)
        lines.append((kind, format, *map(str, (counter.total(), *numbers))))
    return "\n".join(
        f"{kind:8}{format:8}" + "".join(f"{cell:>9}" for cell in cells)
        for kind, format, *cells in lines
    )


def parse(arguments=None):
    """Parse arguments (None: the command line's)."""
    from kerasloc.training.cli import Parser

    parser = Parser(ABOUT, EXAMPLE)
    add, count = parser.add_argument, {"type": int, "metavar": "N"}
    text = "number of damaged files, beside those of huge images (default: %(default)s)"
    add("--files", **count, default=1000, help=text)
    add("--seed", **count, default=0, help="seed of the damage (default: %(default)s)")
    text = "limit of time per file, seconds (default: %(default)s)"
    add("--seconds", type=float, metavar="S", default=10.0, help=text)
    text = "limit of time of everything, seconds (default: %(default)s)"
    add("--total-seconds", type=float, metavar="S", default=1800.0, help=text)
    text = "limit of memory beyond that of a valid file, MB (default: %(default)s)"
    add("--memory", type=float, metavar="MB", default=500.0, help=text)
    text = "folder for the files that failed, and their errors (default: none)"
    add("--keep", type=pathlib.Path, metavar="DIR", help=text)
    return parser.parse_args(arguments)


def main(arguments=None) -> int:
    """Print the counts; returns 1 if a file failed, else 0."""
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] == ["--read"]:
        read_files(int(words[1]))
        return 0
    counts = run(parse(words))
    print(report(counts))
    failures = (is_failure(kind, o) for (kind, _), c in counts.items() for o in c)
    return int(any(failures))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from kerasloc.training.cli import run_main

    run_main(main)
