"""SD 1.5 on RichHF-18k's training pictures: what we recommend (see _recommended.py)."""

from mmengine.config import read_base

with read_base():
    from ._recommended import *
    from ._richhf import *
    from ._sd15 import *

title = "Blemish, SD 1.5, RichHF-18k's training pictures"
