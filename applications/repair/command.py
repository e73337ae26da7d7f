"""The verb `repair`."""

from __future__ import annotations

import argparse
from pathlib import Path

from applications.repair.options import INVERTED, NOISED, WHOLE

HELP = "inpaint what a detector marks, look again, and undo what did not help"
EXAMPLE = """examples:
  blemish repair pictures --detector out/detector/weights.safetensors --inpainter miniworld/weights --out out/repaired
  blemish repair pictures --detector W.safetensors --inpainter diffusers/stable-diffusion-xl-1.0-inpainting-0.1 \\
      --steps 75 --out out/repaired_sdxl
  blemish repair pictures --detector W.safetensors --inpainter miniworld/weights --zoom whole --no-check --rounds 1 \\
      --out out/plain
"""


def add_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its options."""
    verb = verbs.add_parser(
        "repair", help=HELP, description=HELP, epilog=EXAMPLE, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verb.add_argument("input", metavar="PICTURES", help="a picture, a folder, a glob, or shards")
    verb.add_argument("--detector", type=Path, required=True, metavar="WEIGHTS", help=".safetensors, or its folder")
    verb.add_argument(
        "--inpainter",
        required=True,
        metavar="ID",
        help="pipeline folder or hub id: an inpainting model, or any text-to-image model of the supported families",
    )
    verb.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to")
    add_where(verb)
    add_how(verb)
    verb.set_defaults(run=run_repair)


def add_where(verb: argparse.ArgumentParser) -> None:
    """What is inpainted, and what is kept."""
    verb.add_argument("--threshold", type=float, default=0.5, metavar="P", help="artifact from here on (default 0.5)")
    verb.add_argument(
        "--zoom", default="1.5", metavar="Z", help=f"side of a crop / of its component, or {WHOLE} (default 1.5)"
    )
    verb.add_argument("--min-crop", type=int, default=0, metavar="N", help="pixels (default a quarter of the model's)")
    verb.add_argument("--dilation", type=float, default=10, metavar="N", help="pixels, at 512 (default 10)")
    verb.add_argument(
        "--rounds", type=int, metavar="N", help="attempts with other seeds (default 3; 1 with --no-check)"
    )
    verb.add_argument(
        "--least-drop", type=float, default=0.1, metavar="F", help="share of its artifact a repair takes (default 0.1)"
    )
    verb.add_argument("--no-check", action="store_true", help="keep every repair unseen, in one round")


def add_how(verb: argparse.ArgumentParser) -> None:
    """How it is inpainted."""
    verb.add_argument(
        "--kind",
        default="auto",
        metavar="KIND",
        help="masked: mask channels; blended: latents blended at every step; auto: what the model is (default)",
    )
    verb.add_argument("--prompt", metavar="TEXT", help="of all pictures (default: captions of samples, or .txt beside)")
    verb.add_argument("--negative-prompt", default="", metavar="TEXT", help="what guidance leads away from")
    verb.add_argument("--steps", type=int, metavar="N", help="denoising steps (default the model's usual)")
    verb.add_argument("--guidance", type=float, metavar="G", help="guidance scale (default the model's usual)")
    verb.add_argument("--strength", type=float, default=1.0, metavar="F", help="share of the steps taken (default 1)")
    verb.add_argument(
        "--known", default=NOISED, metavar="HOW", help=f"{NOISED} or {INVERTED}: what blended latents are blended with"
    )
    verb.add_argument("--size", type=int, default=0, metavar="N", help="pixels that a crop is brought to")
    verb.add_argument(
        "--dtype",
        default="auto",
        metavar="T",
        help="float32, float16, bfloat16; auto: half on a card, float32 on the CPU",
    )
    verb.add_argument("--revision", default="", metavar="REV", help="of a hub id")
    verb.add_argument("--seed", type=int, default=0, help="of the noise (default 0)")
    verb.add_argument("--batch", type=int, default=16, help="crops inpainted together (default 16)")
    verb.add_argument("--device", default="auto", help="auto, cpu or cuda (default auto)")


def run_repair(args: argparse.Namespace) -> int:
    """Imports wait until the arguments are known to be right, so that --help is quick."""
    from applications.repair.options import FillOptions, RepairOptions, read_zoom

    options = RepairOptions(
        threshold=args.threshold,
        zoom=read_zoom(args.zoom),
        least_crop=args.min_crop,
        dilation=args.dilation,
        rounds=args.rounds if args.rounds is not None else 1 if args.no_check else 3,
        least_drop=args.least_drop,
        check=not args.no_check,
        seed=args.seed,
        batch=args.batch,
        device=args.device,
    )
    how = FillOptions(args.steps, args.guidance, args.strength, args.negative_prompt, args.known, args.size, args.dtype)
    from applications.repair.inpainter import open_inpainter
    from applications.repair.run import repair
    from detector.inputs import open_inputs
    from region_select.selector import find_weights

    open_inputs(args.input)  # what is wrong with it is said before a model is loaded
    weights = find_weights(args.detector)
    inpainter = open_inpainter(args.inpainter, args.kind, how, args.device, args.revision)
    print(repair(args.input, weights, inpainter, args.out, options, args.prompt).text(args.out))
    return 0
