"""Ablations: a grid of arms, its plan and cost, its runs, its tables, plots and page (docs/how-to/ablations.md)."""
