"""Edits of a picture: what it shows stays to be seen, its pixels change.

Each is a value: equal edits do the same to a picture, and what is random comes from its own seed.
Sizes are shares of the picture, so that they mean the same for any resolution. A few milliseconds
a picture.
"""

from __future__ import annotations

import hashlib
import io
import random
from dataclasses import dataclass
from textwrap import wrap

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont, ImageOps


def seed_of(*parts: object) -> int:
    """A seed made from what a draw is to depend on, the same in every process."""
    digest = hashlib.blake2b("\n".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


@dataclass(frozen=True)
class Crop:
    """A part with `share` of width and height at a random place, scaled back to the old size."""

    share: float
    seed: int

    def __call__(self, picture: Image.Image) -> Image.Image:
        rng = random.Random(self.seed)
        width, height = picture.size
        wide, high = max(1, round(width * self.share)), max(1, round(height * self.share))
        left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
        cut = picture.crop((left, top, left + wide, top + high))
        return cut.resize(picture.size, Image.Resampling.BICUBIC)


@dataclass(frozen=True)
class Flip:
    """Left and right exchanged."""

    def __call__(self, picture: Image.Image) -> Image.Image:
        return ImageOps.mirror(picture)


@dataclass(frozen=True)
class Blur:
    """Gaussian blur; the radius is a share of the shorter side."""

    share: float

    def __call__(self, picture: Image.Image) -> Image.Image:
        return picture.filter(ImageFilter.GaussianBlur(self.share * min(picture.size)))


@dataclass(frozen=True)
class Jpeg:
    """Through JPEG at a quality of 1 to 95."""

    quality: int

    def __call__(self, picture: Image.Image) -> Image.Image:
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=self.quality)
        with Image.open(file) as read:
            return read.convert("RGB")


@dataclass(frozen=True)
class ColourJitter:
    """Brightness, contrast and saturation, each times a random factor in 1 ± `strength`."""

    strength: float
    seed: int

    def __call__(self, picture: Image.Image) -> Image.Image:
        rng = random.Random(self.seed)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            picture = enhance(picture).enhance(rng.uniform(1 - self.strength, 1 + self.strength))
        return picture


@dataclass(frozen=True)
class Occlusion:
    """A grey square over `share` of width and height, at a random place."""

    share: float
    seed: int

    def __call__(self, picture: Image.Image) -> Image.Image:
        rng = random.Random(self.seed)
        width, height = picture.size
        wide, high = max(1, round(width * self.share)), max(1, round(height * self.share))
        left, top = rng.randint(0, width - wide), rng.randint(0, height - high)
        covered = picture.copy()
        covered.paste((128, 128, 128), (left, top, left + wide, top + high))
        return covered


@dataclass(frozen=True)
class Painted:
    """Text on a light band along the lower edge, at most `share` of the height."""

    text: str
    share: float

    def __call__(self, picture: Image.Image) -> Image.Image:
        width, height = picture.size
        room = max(1, round(height * self.share))
        painted = picture.copy()
        draw = ImageDraw.Draw(painted)
        for size in range(max(6, room // 2), 5, -1):
            font = ImageFont.load_default(size)
            columns = max(1, int(width / max(1.0, draw.textlength("n", font=font))))
            text = "\n".join(wrap(self.text, columns))
            box = draw.multiline_textbbox((0, 0), text, font=font)
            if box[3] <= room and box[2] <= width:
                break
        draw.rectangle((0, height - room, width, height), fill=(250, 250, 245))
        draw.multiline_text((1, height - room), text, fill=(10, 10, 10), font=font)
        return painted
