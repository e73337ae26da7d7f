"""What a picture that is looked at is said to show."""

from __future__ import annotations

from detector.inputs import Inputs, ShardPictures
from shards.sources.folder import caption_beside


def caption_of(inputs: Inputs, index: int) -> str:
    """Of a sample its caption, of a file the text in the .txt beside it; "" for none. Raises SchemaError."""
    if isinstance(inputs, ShardPictures):
        return inputs.reader.meta(index).source.caption
    return caption_beside(inputs.paths[index])
