"""SD 1.5 on DALL-E 3 pictures: what we recommend (see _recommended.py)."""

from mmengine.config import read_base

with read_base():
    from ._progamer import *
    from ._recommended import *
    from ._sd15 import *

title = "Blemish, SD 1.5, DALL-E 3 pictures"
