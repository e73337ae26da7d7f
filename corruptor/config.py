"""Options of the corruption: frozen dataclasses of plain values, each field with its meaning below it."""

from __future__ import annotations

from dataclasses import dataclass, field

from corruptor.band_config import BandConfig
from corruptor.checks import one_of, within
from corruptor.kinds_config import KINDS, KindsConfig
from corruptor.ladder_config import LadderConfig
from shards.build import LATER

INVERSION_MODES = ("warm", "renoise", "ddim")
METRICS = ("mean_abs", "changed_share")
POLICIES = ("keep", "trim", "ignore", "drop", "tighten")
PLACES = ("auto", "image", "z0", "z_t")


@dataclass(frozen=True)
class MethodRow:
    """What an injection method fixes when the config leaves it open."""

    places: tuple[str, ...]
    """Where it can act; the first is the default."""
    start_step: int
    """Default start step on the 50-step grid (Menn et al. 4.3 and 5.3: 10 steps, the others 20)."""
    resampled: bool = True
    """False: the latent is decoded as it is, without inversion or resampling."""


METHODS: dict[str, MethodRow] = {
    "noised": MethodRow(places=("z0",), start_step=40),
    "gaussian": MethodRow(places=("z_t",), start_step=30),
    "blur": MethodRow(places=("z_t", "z0", "image"), start_step=30),
    "rotate": MethodRow(places=("z_t", "z0", "image"), start_step=30),
    "downscale": MethodRow(places=("z_t", "z0", "image"), start_step=30),
    "direct": MethodRow(places=("z0",), start_step=50, resampled=False),
}
MOST_TIMESTEPS = 100_000
MOST_BOUNDARY = 64
MOST_STEPS = 1000
MOST_PASSES = 1000
MOST_WEIGHT = 1e6
MOST_GUIDANCE = 1000.0
MOST_BLUR = 32.0
MOST_FACTOR = 1024
"""Ends of ranges: far beyond any use, near enough for a mistyped number to be named before it costs hours or memory."""
_REFERENCE_GRID = 50  # the grid size that MethodRow.start_step is written for


@dataclass(frozen=True)
class InversionConfig:
    """z0 -> z_t (Menn et al. eq. 2; Garibi et al. 2024, ReNoise)."""

    mode: str = "warm"
    """`warm`: each step's first guess reuses the previous step's noise prediction, then `warm_passes` refine it (with
    one pass a step this is Uni-Inv of UniEdit-Flow, arXiv 2504.13109); `renoise`: ReNoise; `ddim`: one pass a step
    (ReNoise with K = 0)."""

    warm_passes: tuple[int, ...] = (3, 5, 2, 1)
    """Denoiser passes of the first, second, .. inversion step; the last number holds for all further steps."""

    extrapolate: bool = field(default=False, metadata={LATER: True})
    """Of `warm`: from the third step on the first guess follows the line through the last two predictions instead of
    taking the last one. Costs no pass."""

    num_renoise_iterations: int = 9
    """K of ReNoise: a step costs K + 1 passes."""

    low_noise_timestep: int = 250
    """Below this timestep ReNoise uses its low-noise cap and averaging range."""

    low_noise_cap: int = 5
    """Most ReNoise iterations a step below `low_noise_timestep`."""

    average: bool = True
    """Take a step's last move with the mean of its noise predictions (False: with the last one)."""

    average_range_low_noise: tuple[int, int] = (0, 5)
    """Iterations averaged below `low_noise_timestep`: first included, last excluded."""

    average_range: tuple[int, int] = (8, 10)
    """Iterations averaged from `low_noise_timestep` on; where none is reached the last prediction is used."""

    regularise: bool = False
    """Push ReNoise's predictions towards white noise (auto-correlation and patch KL); off for DDIM, and
    not for flow-matching models. Costs one more denoiser pass a step."""

    regularise_num_steps: int = 4
    """Gradient steps for each regularised prediction."""

    regularise_num_shifts: int = 5
    """Shifts (1, 2, ..) over which auto-correlation is measured."""

    autocorrelation_weight: float = 20.0
    """Step size of the auto-correlation gradient."""

    patch_kl_weight: float = 0.065
    """Step size of the patch KL gradient."""

    guidance_scale: float = 1.0
    """Guidance while inverting; 1.0 is none. What it is, and whether there is any, is the model's."""

    def __post_init__(self) -> None:
        one_of("inversion.mode", self.mode, INVERSION_MODES)
        if not 1 <= len(self.warm_passes) <= MOST_STEPS:
            raise ValueError(f"inversion.warm_passes has {len(self.warm_passes)} numbers; needs 1 to {MOST_STEPS}")
        for passes in (min(self.warm_passes), max(self.warm_passes)):
            within("inversion.warm_passes", passes, 1, MOST_PASSES)
        within("inversion.num_renoise_iterations", self.num_renoise_iterations, 0, MOST_PASSES)
        within("inversion.low_noise_timestep", self.low_noise_timestep, 0, MOST_TIMESTEPS)
        within("inversion.low_noise_cap", self.low_noise_cap, 0, MOST_PASSES)
        within("inversion.regularise_num_steps", self.regularise_num_steps, 1, MOST_PASSES)
        within("inversion.regularise_num_shifts", self.regularise_num_shifts, 1, MOST_PASSES)
        within("inversion.autocorrelation_weight", self.autocorrelation_weight, 0.0, MOST_WEIGHT)
        within("inversion.patch_kl_weight", self.patch_kl_weight, 0.0, MOST_WEIGHT)
        within("inversion.guidance_scale", self.guidance_scale, 1.0, MOST_GUIDANCE)
        for name in ("average_range_low_noise", "average_range"):
            value = getattr(self, name)
            if len(value) != 2 or not 0 <= value[0] < value[1] <= MOST_PASSES + 1:
                raise ValueError(
                    f"inversion.{name} is {value}; needs (first, last) with 0 <= first < last <= {MOST_PASSES + 1}"
                )
        if self.regularise and self.mode != "renoise":
            raise ValueError(f"inversion.regularise needs inversion.mode 'renoise', not {self.mode!r}")


@dataclass(frozen=True)
class InjectionConfig:
    """What replaces the latent inside the mask (Menn et al. eq. 3-5 and section 5.3)."""

    method: str = "noised"
    """`noised`: z0 plus noise at the start step's level, the paper's method; `gaussian`: N(0, 1) in place of z_t;
    `blur`, `rotate` (90 degrees), `downscale`: the region's own content, damaged; `direct`: N(0, 1) in z0,
    neither inverted nor resampled."""

    start_step: int = -1
    """Grid step at which the region is injected and resampling starts, 0 = most noise; -1 = the method's own:
    40 of 50 for `noised`, 30 of 50 (20 passes) for the others."""

    act_on: str = "auto"
    """Where `blur`, `rotate` and `downscale` act: `z_t` (default; on the inverted latent), or `z0` or `image`
    (on the clean latent or the pixels, which then take the place of z0 in eq. 4). The paper does not say."""

    blur_sigma: float = 2.0
    """Standard deviation of `blur`, in latent cells, above 0 to 32: there a latent of 64 x 64 cells is one colour (the
    paper gives none)."""

    downscale_factor: int = 8
    """Factor of `downscale`, per side, 2 to 1024."""

    kinds: KindsConfig | None = field(default=None, metadata={LATER: True})
    """Structural kinds of damage and their shares, for `noised`; None: `distort` alone, and no sample says so."""

    def __post_init__(self) -> None:
        one_of("injection.method", self.method, METHODS)
        one_of("injection.act_on", self.act_on, PLACES)
        allowed = METHODS[self.method].places
        if self.act_on != "auto" and self.act_on not in allowed:
            raise ValueError(
                f"injection.act_on is {self.act_on!r}; method {self.method!r} can act on {', '.join(allowed)}"
            )
        if self.kinds is not None and self.method != "noised":
            raise ValueError(f"injection.kinds needs injection.method 'noised', not {self.method!r}")
        within("injection.start_step", self.start_step, -1, MOST_STEPS)
        within("injection.downscale_factor", self.downscale_factor, 2, MOST_FACTOR)
        if not 0 < self.blur_sigma <= MOST_BLUR:
            raise ValueError(f"injection.blur_sigma is {self.blur_sigma}; allowed are those above 0, to {MOST_BLUR:g}")

    @property
    def resolved_act_on(self) -> str:
        """`act_on` with `auto` resolved."""
        return METHODS[self.method].places[0] if self.act_on == "auto" else self.act_on


@dataclass(frozen=True)
class ResamplingConfig:
    """z_t -> z0 (Menn et al. eq. 6; DDIM)."""

    num_steps: int = 0
    """Denoiser passes from the start step to t = 0; 0 = every grid step. Another number re-spaces the timesteps."""

    eta: float = 0.0
    """0 is deterministic DDIM, 1 is DDPM's noise. Flow-matching models take 0 alone."""

    blend: bool = False
    """After every step put the inversion's stored latents back outside the injected cells: no latent error there,
    but also no mismatch between injected and inverted latents, which the paper credits."""

    guidance_scale: float = 1.0
    """Guidance while resampling; 1.0 is none. What it is, and whether there is any, is the model's."""

    def __post_init__(self) -> None:
        within("resampling.num_steps", self.num_steps, 0, MOST_TIMESTEPS)
        within("resampling.guidance_scale", self.guidance_scale, 1.0, MOST_GUIDANCE)
        if not 0.0 <= self.eta <= 1.0:
            raise ValueError(f"resampling.eta is {self.eta}; allowed are 0.0 to 1.0")
        if self.blend and self.num_steps:
            raise ValueError("resampling.blend needs resampling.num_steps 0: latents are stored at grid steps only")


@dataclass(frozen=True)
class SecondOpinion:
    """A detector that must see a component as more of an artifact in the corrupted picture than in its twin."""

    detector: str
    """Weights of a detector, or with `score` a bare segmenter of valid content: what it cannot explain is an artifact
    (`blemish detect predict --segmenter`)."""

    score: str = "msr"
    """Of a segmenter: msr, msr_unweighted, max_prob, entropy, pixel or rba; "" where `detector` was trained to tell
    artifacts."""

    rise: float = 0.05
    """A component whose score rises by less than this, on average over its pixels, counts as unchanged. -1..1."""

    revision: str = "main"
    """Of a hub id."""

    sha256: str = ""
    """sha256 of the detector's files; a run writes it down, and where it is given, others are refused."""

    boundary: int = field(default=0, metadata={LATER: True})
    """Of a segmenter: what it rejects along outlines, not as wide as 2 boundary + 1 pixels, is dropped. 0..64."""

    def __post_init__(self) -> None:
        if not 0 <= self.boundary <= MOST_BOUNDARY:
            raise ValueError(
                f"verification.second_opinion.boundary is {self.boundary}; allowed are 0 to {MOST_BOUNDARY}"
            )
        if not self.detector:
            raise ValueError("verification.second_opinion.detector is empty; name weights or a segmenter")
        if not -1.0 <= self.rise <= 1.0:
            raise ValueError(f"verification.second_opinion.rise is {self.rise}; allowed are -1.0 to 1.0")


@dataclass(frozen=True)
class VerificationConfig:
    """Whether a masked component really changed, measured against the VAE round trip of the source."""

    policy: str = "drop"
    """For components below the threshold. `keep`: as they are; `trim`: shrink to the pixels that changed;
    `ignore`: label 255, out of training; `drop`: out of the mask; `tighten`: as `drop`, and components that reach the
    threshold shrink to the pixels that changed as well."""

    metric: str = "mean_abs"
    """`mean_abs`: mean absolute change inside the component, 0..255; `changed_share`: share of its pixels that
    changed by more than `pixel_threshold`, 0..1."""

    threshold: float = 4.0
    """A component whose metric is below this counts as unchanged. Provisional until calibrated per model."""

    pixel_threshold: float = 8.0
    """Mean absolute change over the colour channels, 0..255, above which a pixel counts as changed."""

    second_opinion: SecondOpinion | None = field(default=None, metadata={LATER: True})
    """What a component must pass as well: change alone does not tell a fault from another way to draw the thing."""

    band: BandConfig | None = field(default=None, metadata={LATER: True})
    """Between which perceptual distances to its twin a component must lie as well."""

    def __post_init__(self) -> None:
        one_of("verification.policy", self.policy, POLICIES)
        one_of("verification.metric", self.metric, METRICS)
        high = 255.0 if self.metric == "mean_abs" else 1.0
        if not 0.0 <= self.threshold <= high:
            raise ValueError(f"verification.threshold is {self.threshold}; metric {self.metric!r} allows 0..{high:g}")
        if not 0.0 <= self.pixel_threshold <= 255.0:
            raise ValueError(f"verification.pixel_threshold is {self.pixel_threshold}; allowed are 0..255")


@dataclass(frozen=True)
class CorruptionConfig:
    """Everything that decides what a corrupted image looks like, but for model, source, mask and seed."""

    num_grid_steps: int = 50
    """Size of the sampling grid: DDIM's, or Euler's of a flow-matching model."""

    inversion: InversionConfig = field(default_factory=InversionConfig)
    """How z0 becomes z_t."""

    injection: InjectionConfig = field(default_factory=InjectionConfig)
    """What goes into the region."""

    resampling: ResamplingConfig = field(default_factory=ResamplingConfig)
    """How z_t becomes an image again."""

    verification: VerificationConfig = field(default_factory=VerificationConfig)
    """What becomes of components that did not change."""

    ladder: LadderConfig | None = field(default=None, metadata={LATER: True})
    """Further tries, from weak to strong, for regions that did not break; None: one try, and what did not break goes by
    verification.policy."""

    negative_prompt: str = ""
    """What classifier-free guidance leads away from; "" is the model's own notion of no prompt."""

    paste_back: bool = False
    """Put the source's own pixels back outside the mask. Off: a detector would learn the VAE's fingerprint."""

    raw_negatives: bool = False
    """Give clean samples as the source's own pixels instead of the uninjected reconstruction. Off: as above."""

    sham: bool = False
    """Keep the masks as labels and inject nothing under them; all else as ever. A detector that finds these masks knows
    them by how they were processed and not by an artifact (docs/explanation/leak_check.md). Needs
    verification.policy `keep`."""

    def __post_init__(self) -> None:
        within("num_grid_steps", self.num_grid_steps, 1, MOST_STEPS)
        if self.sham and self.verification.policy != "keep":
            raise ValueError(
                f"sham needs verification.policy 'keep', not {self.verification.policy!r}: nothing is injected, "
                f"so every region would count as unchanged"
            )
        if self.injection.start_step >= self.num_grid_steps:
            raise ValueError(
                f"injection.start_step is {self.injection.start_step}; a grid of {self.num_grid_steps} steps "
                f"allows 0..{self.num_grid_steps - 1}, or -1 for the method's own"
            )

        kinds = self.injection.kinds
        if kinds is not None and kinds.start_step >= self.num_grid_steps:
            raise ValueError(
                f"injection.kinds.start_step is {kinds.start_step}; a grid of {self.num_grid_steps} steps allows "
                f"0..{self.num_grid_steps - 1}, or -1 for the injection's own"
            )
        if kinds is not None and self.sham:
            raise ValueError(
                "injection.kinds does not go with sham, of which nothing is injected; leave one of them out"
            )
        if self.ladder is not None:
            self._check_ladder(self.ladder)

    def _check_ladder(self, ladder: LadderConfig) -> None:
        for kind in KINDS if self.injection.kinds else KINDS[:1]:
            ladder.steps(self.start_step_of(kind))
        if max(ladder.last_steps, default=0) >= self.num_grid_steps:
            raise ValueError(
                f"ladder.last_steps has {max(ladder.last_steps)}; a grid of {self.num_grid_steps} steps allows "
                f"0..{self.num_grid_steps - 1}"
            )
        if ladder.last and self.injection.method != "noised":
            raise ValueError(f"ladder.last needs injection.method 'noised', not {self.injection.method!r}")
        reasons = {
            "sham": self.sham,
            "resampling.num_steps above 0": bool(self.resampling.num_steps),
            f"injection.method {self.injection.method!r}": not METHODS[self.injection.method].resampled,
        }
        for reason in (name for name, holds in reasons.items() if holds):
            raise ValueError(
                f"ladder does not go with {reason}: there are no start steps to climb; leave one of them out"
            )

    def start_step_of(self, kind: str) -> int:
        """Where a sample of this kind is injected first."""
        kinds = self.injection.kinds
        structural = kinds is not None and kinds.start_step >= 0 and kind in KINDS[1:]
        return kinds.start_step if kinds is not None and structural else self.start_step

    @property
    def lowest_step(self) -> int:
        """The strongest start step that any sample may have: how far sources are inverted."""
        kinds = self.injection.kinds
        asked = [name for name, share in kinds.shares().items() if share] if kinds else []
        starts = {self.start_step, *(self.start_step_of(kind) for kind in asked)}
        if self.ladder is None:
            return min(starts)
        return min(step for one in starts for step in self.ladder.all_steps(one))

    @property
    def start_step(self) -> int:
        """Start step with -1 resolved; equal to num_grid_steps where the method does not resample."""
        row = METHODS[self.injection.method]
        if not row.resampled:
            return self.num_grid_steps
        if self.injection.start_step >= 0:
            return self.injection.start_step
        # The same share of another grid; at least one step stays to be resampled.
        return min(round(self.num_grid_steps * row.start_step / _REFERENCE_GRID), self.num_grid_steps - 1)
