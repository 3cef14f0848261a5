"""Pictures like MNIST's, from JSON and from picture files; anything else is refused."""

import io
import warnings
from typing import Annotated

import numpy as np
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, ValidationError

SIZE, BOX = 28, 20  # pixels of a side: of the picture, and of the digit inside
PAPER = 0.1  # levels up to this are no ink
MOST_PIXELS = 4_000_000  # of a picture file, whose few bytes may unpack to gigabytes
FORMATS = "PNG", "JPEG"

# Once for the process: `catch_warnings` around each picture would not be safe in threads.
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)

Level = Annotated[float, Field(ge=0, le=255, allow_inf_nan=False, strict=True)]
Row = Annotated[list[Level], Field(min_length=SIZE, max_length=SIZE)]


class BadPicture(ValueError):
    """The body is not a picture of a digit; the text says why."""


class Digit(BaseModel):
    """A digit in JSON: 28 rows of 28 pixels, 0 for paper and 255 for ink."""

    model_config = ConfigDict(extra="forbid")
    pixels: Annotated[list[Row], Field(min_length=SIZE, max_length=SIZE)]


def from_json(body):
    """An array (28, 28) from 0 to 1, not centred. Raises BadPicture."""
    try:
        digit = Digit.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise BadPicture(f"{where}: {first['msg']}") from None
    picture = np.array(digit.pixels, np.float32) / 255
    if picture.max() <= PAPER:
        raise BadPicture("the picture is empty")
    return picture


def from_file(content):
    """An array (28, 28) from 0 to 1, of a PNG or JPEG. Raises BadPicture.

    As in MNIST, the digit is bright, fits a box of 20 pixels, and its centre of mass is in the
    middle. A picture with a bright border is ink on paper, and is inverted.
    """
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as picture:
            width, height = picture.size
            if width * height > MOST_PIXELS:
                raise BadPicture(
                    f"the picture has {width} x {height} pixels, at most {MOST_PIXELS:,} fit"
                )
            grey = _grey(picture)
    except BadPicture:
        raise
    except Exception as error:  # Pillow raises many kinds for damaged files
        reason = type(error).__name__ if "BytesIO" in str(error) else error
        raise BadPicture(f"no {' or '.join(FORMATS)} that can be read: {reason}") from None
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    return centred(1 - grey if np.median(border) > 0.5 else grey)


def _grey(picture):
    """Levels from 0 to 1, upright as the camera says; what is transparent is white paper."""
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # 16 bits, of which Pillow would cut off all above 255
        return np.asarray(picture, np.float32) / 65535
    layers = picture.convert("RGBA")
    paper = Image.new("RGBA", layers.size, "white")
    return np.asarray(Image.alpha_composite(paper, layers).convert("L"), np.float32) / 255


def centred(ink):
    """A digit scaled and centred like MNIST's, (28, 28). Raises BadPicture if there is no ink."""
    rows, columns = (np.flatnonzero(ink.max(axis=axis) > PAPER) for axis in (1, 0))
    if not len(rows):
        raise BadPicture("the picture is empty")
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = BOX / max(digit.shape)
    height, width = (max(1, round(n * scale)) for n in digit.shape)
    small = Image.fromarray(digit).resize((width, height), Image.Resampling.BOX)
    digit = np.clip(np.asarray(small, np.float32), 0, 1)
    weight = digit / digit.sum()
    places = []
    for axis, length in enumerate(digit.shape):
        middle = (weight.sum(axis=1 - axis) * np.arange(length)).sum()
        places.append(int(np.clip(round((SIZE - 1) / 2 - middle), 0, SIZE - length)))
    whole = np.zeros((SIZE, SIZE), np.float32)
    whole[places[0] : places[0] + height, places[1] : places[1] + width] = digit
    return whole
