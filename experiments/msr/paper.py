"""The figures of Yin 2026 that stand beside ours: mIoU in percent, which is read as artifact IoU."""

from __future__ import annotations

TASK_ROWS: dict[str, tuple[float, ...]] = {
    "MSR, specialist (paper)": (42.50, 37.10, 36.00, 16.50, 44.20, 49.10, 43.50, 26.80, 34.20, 41.80, 23.00),
    "MSR, unified (paper)": (41.20, 34.50, 36.80, 13.50, 41.95, 48.20, 41.10, 23.50, 32.10, 40.50, 18.20),
}
"""Table 1, in the order of detector.score.pal_table.COLUMNS."""
REAL: dict[str, tuple[float, float]] = {
    "nature": (1.45, 0.04),
    "animals": (1.82, 0.07),
    "indoor": (4.10, 0.21),
    "urban": (6.25, 0.28),
    "all": (3.82, 0.14),
}
"""Table 3: FPR and APAA in percent."""
SCORES = {"msr": 48.20, "msr_unweighted": 45.80, "max_prob": 44.12, "entropy": 42.50, "pixel": 40.25}
"""Table 4."""
PER_PIXEL = 38.42
"""Table 4, UPerNet."""
MARGINS = {0.1: 45.54, 0.3: 47.85, 0.5: 48.20, 0.7: 46.45, 0.9: 44.80}
"""Table 5."""
THRESHOLDS = {0.1: 22.16, 0.3: 45.83, 0.5: 48.20, 0.7: 42.58, 0.9: 28.51}
"""Table 6."""
COST = {"MSR, Swin-B (paper)": (268.0, 107.0, 48.20), "MSR, ResNet-101 (paper)": (160.0, 63.0, 44.57)}
"""Table 7: GFLOPs, parameters in millions, IoU."""
