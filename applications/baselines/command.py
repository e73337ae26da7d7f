"""The verb `baseline`."""

from __future__ import annotations

import argparse
from pathlib import Path

from shards.errors import ConfigError

HELP = "heat maps of a method that the papers compare with, in the form that `detect score` takes"
EXAMPLE = """examples:
  blemish baseline segformer out/diffdoctor out/test --out out/diffdoctor_seen
  blemish baseline segformer ad_pytorch_model.bin out/test --out out/diffdoctor_seen
  blemish baseline pal end2end.pt out/test --out out/pal_seen
  blemish baseline cnngenerates blur_jpg_prob0.5.pth out/test --out out/cnngenerates
  blemish baseline patchforensics bestval_net_D.pth out/test --out out/patchforensics
"""
SIZES = {"cnngenerates": 224, "patchforensics": 299, "pal": 512, "segformer": 512}


def add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    verb = verbs.add_parser(
        "baseline", help=HELP, description=HELP, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_argument("kind", choices=tuple(SIZES), help="what the weights are of")
    verb.add_argument(
        "weights",
        type=Path,
        metavar="WEIGHTS",
        help="a torch or .safetensors file; PAL's TorchScript archive, whose program is not run; SegFormer's folder",
    )
    verb.add_argument("input", metavar="PICTURES", help="a picture, a folder, a glob, or shards")
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    verb.add_argument(
        "--size", type=int, metavar="N", help="pixels that pictures are brought to (default the method's)"
    )
    verb.add_argument("--threshold", type=float, default=0.5, metavar="P", help="artifact from here on (default 0.5)")
    verb.add_argument("--batch", type=int, default=16, help="pictures looked at together (default 16)")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")
    verb.set_defaults(run=run_baseline)


def run_baseline(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from applications.baselines.lookers import open_baseline
    from detector.predict import Options, predict_with

    size = args.size or SIZES[args.kind]
    if not 32 <= size <= 4096:
        raise ConfigError(f"--size is {size}; allowed are 32 to 4096 pixels")
    options = Options(args.threshold, args.batch, args.device)
    looker = open_baseline(args.kind, args.weights, size, args.device)
    print(predict_with(looker, f"{looker.digest} {args.kind} {size}", args.input, args.out, options).summary())
    return 0
