"""The figure of the README: ``python docs/_ext/readme_figure.py`` writes ``docs/readme.svg``."""

import math
from pathlib import Path

import torch

from dlcore import norms

FILE = Path(__file__).parents[1] / "readme.svg"
CURVES = {0.5: "#8e4ba8", 1.0: "#1668b0", 2.0: "#0a7550", 4.0: "#856000", math.inf: "#c04a00"}
SIZE, RADIUS, N_POINTS = 320, 130, 96


def draw() -> str:
    """Return the figure: the vectors of norm 1 in the plane, for five values of p."""
    angle = torch.arange(N_POINTS, dtype=torch.float64) * (2 * math.pi / N_POINTS)
    directions = torch.stack([angle.cos(), angle.sin()], dim=1)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIZE + 120} {SIZE}" width="{SIZE + 120}" role="img">',
        "<title>The vectors of norm 1 for p = 1/2, 1, 2, 4 and infinity, from a star to a square</title>",
        f'<rect width="{SIZE + 120}" height="{SIZE}" fill="#fff"/>',
    ]
    for row, (p, ink) in enumerate(CURVES.items()):
        unit = directions / norms.lp_norm(directions, p, dim=1, keepdim=True)
        points = " ".join(f"{SIZE / 2 + RADIUS * x:.1f},{SIZE / 2 - RADIUS * y:.1f}" for x, y in unit.tolist())
        lines.append(f'<polygon points="{points}" fill="none" stroke="{ink}" stroke-width="2.5"/>')
        name = "∞" if math.isinf(p) else f"{p:g}"
        style = f'font-family="sans-serif" font-size="18" fill="{ink}"'
        lines.append(f'<text x="{SIZE + 20}" y="{100 + 32 * row}" {style}>p = {name}</text>')
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    FILE.write_text(draw(), encoding="utf-8")
