"""The process that opens strangers' pictures, so that the console's own never does.

A picture decoder is C code that is fed bytes from outside. Here it has its own process, with little
memory and time, which holds no key, no ledger and no other picture: what breaks it breaks nothing
else. It imports Pillow alone. Input: for each picture its length (8 bytes, big-endian) and its
bytes; output: one JSON list with, for each picture, [format, null] or [null, what is wrong]. Costs
about 60 ms and then 20 ms a picture of 12 megapixels.
"""

from __future__ import annotations

import io
import json
import sys
import warnings

from PIL import Image, PngImagePlugin, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP")
LARGEST = 50_000_000  # pixels, by what the header declares: 150 MB decoded
LARGEST_SIDE = 16_384
MIN_SIDE = 8
MEMORY = 2**30  # bytes of address space
SECONDS = 60  # of processor time

Verdict = tuple[str | None, str | None]


def verdict(content: bytes) -> Verdict:
    """(format, None) of a whole, still picture, or (None, what is wrong with it)."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:  # reads the header only
            reason = _declared(image)
            if reason is None:
                image.load()
            kind = "JPEG" if image.format == "MPO" else image.format  # phones add a second picture
    except UnidentifiedImageError:
        return None, "is not a picture, expected PNG, JPEG or WebP"
    except Image.DecompressionBombError:
        return None, f"declares too many pixels, expected at most {LARGEST // 10**6} million"
    except MemoryError:
        return None, "needs too much memory to decode, expected an ordinary picture"
    except Exception:  # decoders let through OSError, SyntaxError, struct.error and more
        return None, "is truncated or damaged, expected a whole picture"
    return (kind, None) if reason is None else (None, reason)


def _declared(image: Image.Image) -> str | None:
    width, height = image.size
    if width * height > LARGEST or max(width, height) > LARGEST_SIDE:
        return (
            f"declares {width}x{height} pixels, expected at most "
            f"{LARGEST // 10**6} million and {LARGEST_SIDE} a side"
        )
    if min(width, height) < MIN_SIDE:
        return f"is {width}x{height} pixels, expected at least {MIN_SIDE}x{MIN_SIDE}"
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        return "is animated, expected a still picture"
    if image.mode[0] in "IF":
        return f"has mode {image.mode}, expected 8 bits a channel"
    return None


def _confine() -> None:
    PngImagePlugin.MAX_TEXT_MEMORY = 4 * 2**20  # compressed comments are bombs too
    Image.MAX_IMAGE_PIXELS = LARGEST
    warnings.simplefilter("ignore")
    try:
        import resource
    except ImportError:  # not on Windows; the parent's clock is left
        return
    for what, most in ((resource.RLIMIT_AS, MEMORY), (resource.RLIMIT_CPU, SECONDS)):
        try:
            resource.setrlimit(what, (most, most))
        except (ValueError, OSError):  # a system that does not know it, or has it lower already
            continue


def main() -> None:
    """Judge what comes on stdin until it ends."""
    _confine()
    found: list[Verdict] = []
    while len(size := sys.stdin.buffer.read(8)) == 8:
        found.append(verdict(sys.stdin.buffer.read(int.from_bytes(size, "big"))))
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
