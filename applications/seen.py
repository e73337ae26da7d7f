"""What `blemish detect predict` left in its folder, with the pictures that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from applications.tables import Names, TableError
from detector.inputs import Inputs, open_inputs
from detector.maps import MASKS, Row
from detector.predict import RUN
from shards.build import BuildError, build
from shards.errors import MissingInputError
from shards.guard.json_text import TABLE, read_object
from shards.guard.plain_file import read_plain
from shards.images import MAX_MEMBER, decode_mask
from shards.masks import U8
from shards.source import Reject


@dataclass(frozen=True)
class Seen:
    """A folder of predictions; rows from least to most artifact."""

    folder: Path
    rows: Sequence[Row]
    inputs: Inputs
    places: dict[str, int]
    """Key -> position among the inputs."""

    def names(self) -> Names:
        """What its pictures may be called."""
        return Names({row.key: row.uri for row in self.rows})

    def picture(self, key: str) -> U8:
        """uint8 HWC RGB. Raises TableError where the picture has gone or changed its name since."""
        stored = self.inputs.read(self.places[key]) if key in self.places else None
        image = stored if stored is None or isinstance(stored, Reject) else self.inputs.decode(stored)
        if image is None or isinstance(image, Reject):
            raise TableError(f"the picture {key} of {self.folder} cannot be read any more; run `detect predict` again")
        return image

    def mask(self, key: str) -> U8:
        """uint8 HW, 0 and 1. Raises TableError."""
        try:
            return decode_mask(read_plain(self.folder / MASKS / f"{key}.png", MAX_MEMBER))
        except (OSError, ValueError) as error:
            raise TableError(f"the mask of {key} in {self.folder} cannot be read ({error}); predict again") from error


def open_seen(folder: Path) -> Seen:
    """Open a folder of `blemish detect predict`.

    Raises MissingInputError, TableError (no table, or a damaged one), and what `detector.inputs.open_inputs` raises
    where its pictures are not there any more.
    """
    for name in (RUN, "par.json"):
        if not (folder / name).is_file():
            raise MissingInputError(f"{folder} has no {name}: name a folder that `blemish detect predict` has finished")
    told = read_object(folder / "par.json", limits=TABLE, error=TableError)
    where = read_object(folder / RUN, error=TableError).get("input")
    try:
        rows = [build(Row, {field.name: row[field.name] for field in fields(Row)}) for row in told["pictures"]]
    except (BuildError, KeyError, TypeError) as error:
        raise TableError(f"{folder / 'par.json'} is damaged ({error}); run `detect predict` again") from error
    if not rows or not isinstance(where, str):
        raise TableError(f"{folder} holds no predictions; run `detect predict` on pictures")
    inputs = open_inputs(where)
    return Seen(folder, rows, inputs, {key: index for index, key in enumerate(inputs.keys)})
