"""Pictures from files or from bytes: checked once when data is read, decoded when needed.

The check decodes every picture in full, because only that finds a truncated one; JPEGs are decoded
at an eighth of their size, which reads every byte at a fraction of the cost. About 0.2 ms for a
64x64 PNG and 20 ms for a 12-megapixel JPEG, on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

MIN_SIDE = 8
"""Smallest width and height, in pixels, of something that can be a picture."""


def check_picture(source: Path | bytes) -> None:
    """Raises ValueError, with the reason as a phrase, unless `source` is a whole picture."""
    with _opened(source) as image:
        image.draft(image.mode, (max(image.width // 8, 1), max(image.height // 8, 1)))
        image.load()


def decode_picture(source: Path | bytes) -> Image.Image:
    """The picture, upright, in RGB. Raises ValueError as `check_picture` does."""
    with _opened(source) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


@contextmanager
def _opened(source: Path | bytes) -> Iterator[Image.Image]:
    try:
        with Image.open(BytesIO(source) if isinstance(source, bytes) else source) as image:
            if min(image.size) < MIN_SIDE:
                width, height = image.size
                raise ValueError(
                    f"is {width}x{height} pixels, expected at least {MIN_SIDE}x{MIN_SIDE}"
                )
            if image.mode[0] in "IF":  # conversion to RGB would clip nearly all of it to white
                raise ValueError(f"has mode {image.mode}, expected 8 bits a channel")
            yield image
    except FileNotFoundError:
        raise ValueError("is missing, expected a picture file") from None
    except UnidentifiedImageError:
        raise ValueError("is not a picture, expected PNG, JPEG or another common format") from None
    except ValueError:
        raise
    except PermissionError:
        raise ValueError("cannot be opened, expected a readable file") from None
    except Exception as error:
        # Pillow's decoders let through OSError, SyntaxError, struct.error and more on broken files.
        raise ValueError(f"is truncated or damaged, expected a whole picture ({error})") from None
