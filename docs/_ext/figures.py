"""A sphinx-gallery scraper that saves each figure for the light theme and for the dark theme, in one style.

A tutorial is a script that runs anywhere. It imports nothing from this file, refers to colours only by their position
in the cycle (``"C0"``, ``"C1"``, ...), and sets no other style. Before each script, the build sets the style below.
After the script, the scraper saves each figure twice on a transparent background: as it is, and with every colour of
the light column replaced by the colour of the dark column. A copied script gives the same figure in the default colours
of matplotlib.

``fig.set_label("...")`` sets the alternative text of the figure; a figure without it fails the build. So does a claim
of the script, a value of its dictionary ``claims``, that is false with the settings as published.

An animation is shown as its last frame. A slider below it (``_static/slider.js``) shows its frames, one for each step,
and next to the slider the title of the frame's first axes, which should name the value of what moves.
The frames are one image, which is loaded when the reader touches the slider; without JavaScript, a link leads to it.
"""

from html import escape
from pathlib import Path, PurePosixPath
from textwrap import indent
from typing import Any

import markup
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.animation import Animation, PillowWriter
from matplotlib.artist import Artist
from matplotlib.colorizer import ColorizingArtist
from matplotlib.colors import Colormap, ListedColormap, to_hex, to_rgba
from matplotlib.figure import Figure
from matplotlib.text import Annotation, Text
from PIL import Image
from sphinx.errors import ExtensionError
from sphinx_gallery.scrapers import figure_rst
from sphinx_gallery.utils import scale_image

INK, FAINT, GRID = ("#1f2933", "#e6e8eb"), ("#5b6672", "#a7b1bc"), ("#d8dde3", "#3b444e")
CYCLE = [  # light, dark: contrast of at least 4.5:1 with the background, distinguishable with any colour vision
    ("#1668b0", "#6cb6ff"),  # blue
    ("#c04a00", "#ff9a57"),  # vermilion
    ("#0a7550", "#45cfa0"),  # green
    ("#8e4ba8", "#d6a0f2"),  # purple
    ("#856000", "#e6bb45"),  # ochre
    ("#c02a63", "#ff86b3"),  # pink
]
DARK = dict([INK, FAINT, GRID, *CYCLE])
DARK_SUFFIX = " on dark"

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT[0],
    "axes.facecolor": "none",
    "axes.grid": False,
    "axes.labelcolor": INK[0],
    "axes.prop_cycle": mpl.cycler(color=[light for light, _ in CYCLE]),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlecolor": INK[0],
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "boxplot.flierprops.markeredgecolor": INK[0],
    "figure.dpi": 100,
    "figure.edgecolor": "none",
    "figure.facecolor": "none",
    "figure.figsize": (5.4, 3.9),
    "font.size": 12,  # 10 px on a phone, where a figure of 5.6 inches is 343 px wide
    "grid.color": GRID[0],
    "hatch.color": INK[0],
    "legend.frameon": False,
    "lines.linewidth": 2.0,
    "patch.edgecolor": INK[0],
    "text.color": INK[0],
    "xtick.color": FAINT[0],
    "xtick.labelcolor": INK[0],
    "ytick.color": FAINT[0],
    "ytick.labelcolor": INK[0],
}

FRAME_DPI = 150
SLIDER = """
.. container:: slider

   :download:`All steps in one picture </{file}>`

   .. raw:: html

      <datalist>{options}</datalist>
"""
DESCRIPTION = """
.. container:: description

   {text}
"""
PAIR = """
.. container:: only-light

{light}

.. container:: only-dark

{dark}
"""


def set_style(gallery_conf: dict[str, Any], name: str) -> None:  # noqa: ARG001  # sphinx-gallery's signature
    """Set the style before a script runs."""
    mpl.rcParams.update(STYLE)


def save_light_and_dark(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:  # noqa: ANN401, ARG001
    """Save each open figure for both themes, and return the text that shows the one for the current theme."""
    claims = block_vars["example_globals"].get("claims", {})
    if broken := [claim for claim, holds in claims.items() if not holds]:
        raise ExtensionError(f"{block_vars['src_file']}: does not hold: {'; '.join(broken)}")
    shown = ""
    for number, path in zip(plt.get_fignums(), block_vars["image_path_iterator"], strict=False):
        figure = plt.figure(number)
        description = figure.get_label()
        if not description:
            raise ExtensionError(f"{block_vars['src_file']}: figure {number} needs fig.set_label('what it shows')")
        light = PurePosixPath(path)
        pair = {"light": light, "dark": light.with_stem(f"{light.stem}_dark")}
        figure.draw_without_rendering()  # a constrained layout with a legend outside settles at the second drawing
        films = [film for film in block_vars["example_globals"].values() if is_film_of(figure, film)]
        for theme, file in pair.items():
            titles = [save_frames(film, file.with_suffix(".webp"), theme) for film in films]
            if theme == "dark":
                darken(figure)
            sharp = file.with_stem(f"{file.stem}_2_00x")
            figure.savefig(file)
            figure.savefig(sharp, dpi=2 * figure.dpi)
            text = figure_rst([file], gallery_conf["src_dir"], description, [{0: file, 2.0: sharp}])
            for of_film in titles:
                options = "".join(f"<option>{escape(title)}</option>" for title in of_film)
                text += SLIDER.format(
                    file=file.with_suffix(".webp").relative_to(gallery_conf["src_dir"]), options=options
                )
            text += DESCRIPTION.format(text=markup.escape(description))
            pair[theme] = indent(text, "   ")
        shown += PAIR.format(**pair)
        if len(block_vars["image_path_iterator"]) == block_vars["file_conf"].get("thumbnail_number", 1):
            save_dark_thumbnail(light, gallery_conf)
    plt.close("all")
    return shown


def is_film_of(figure: Figure, value: Any) -> bool:  # noqa: ANN401  # any object of the script
    """Tell whether a value is an animation of this figure."""
    return isinstance(value, Animation) and value._fig is figure


class Frames(PillowWriter):
    """The frames of an animation in the colours of a theme, below each other in one image, and their titles."""

    def __init__(self, theme: str) -> None:
        super().__init__()
        self.is_dark = theme == "dark"
        self.titles: list[str] = []

    def grab_frame(self, **savefig_kwargs: Any) -> None:  # noqa: ANN401
        """Save the figure as a frame; what the script draws has the light colours."""
        if self.is_dark:
            darken(self.fig)
        self.titles.append(self.fig.axes[0].get_title(loc="left"))
        super().grab_frame(**savefig_kwargs)

    def finish(self) -> None:
        """Write the frames with 64 colours, which halves the file size without a visible difference."""
        width, height = self._frames[0].size
        strip = Image.new("RGBA", (width, height * len(self._frames)))
        for number, frame in enumerate(self._frames):
            strip.paste(frame, (0, number * height))
        strip.quantize(64, method=Image.Quantize.FASTOCTREE).convert("RGBA").save(self.outfile, lossless=True)


def save_frames(film: Animation, path: PurePosixPath, theme: str) -> list[str]:
    """Save the frames of an animation as one image, and return their titles."""
    frames = Frames(theme)
    film.save(path, writer=frames, dpi=FRAME_DPI)
    return frames.titles


def save_dark_thumbnail(light: PurePosixPath, gallery_conf: dict[str, Any]) -> None:
    """Save the dark version of the thumbnail that sphinx-gallery makes."""
    folder = Path(light.parent, "thumb")
    folder.mkdir(exist_ok=True)
    name = f"{light.stem.rpartition('_')[0]}_thumb_dark.png"
    scale_image(light.with_stem(f"{light.stem}_dark"), folder / name, *gallery_conf["thumbnail_size"])


def darken(figure: Figure) -> None:
    """Replace every colour of the light theme by the corresponding colour of the dark theme."""
    for artist in figure.findobj():
        _darken(artist)
        if isinstance(artist, ColorizingArtist) and artist.get_array() is not None:
            artist.set_cmap(dark_colormap(artist.get_cmap()))
        if isinstance(artist, Annotation) and artist.arrow_patch is not None:
            _darken(artist.arrow_patch)
        if isinstance(artist, Text) and artist.get_bbox_patch() is not None:
            _darken(artist.get_bbox_patch())


def dark_colormap(colormap: Colormap) -> Colormap:
    """Return a colormap with black in place of white, and bright colours in place of dark ones.

    Hue and chroma stay. A colormap without white does not glare, so it is returned as it is.
    """
    colours = colormap(np.arange(colormap.N))
    if colormap.name.endswith(DARK_SUFFIX) or colours[:, :3].min(axis=1).max() < 0.9:
        return colormap
    colours[:, :3] += 1 - colours[:, :3].max(axis=1, keepdims=True) - colours[:, :3].min(axis=1, keepdims=True)
    return ListedColormap(colours, name=colormap.name + DARK_SUFFIX)


def _darken(artist: Artist) -> None:
    for name in ("color", "facecolor", "edgecolor", "markerfacecolor", "markeredgecolor"):
        get, put = getattr(artist, f"get_{name}", None), getattr(artist, f"set_{name}", None)
        if get is None or put is None:
            continue
        colours = get()
        if isinstance(colours, np.ndarray):
            dark = [_dark(colour) for colour in colours]
            if dark and not np.array_equal(dark, colours):  # the empty array of a contour stays empty
                put(dark)
        elif _dark(colours) != to_rgba(colours):
            put(_dark(colours))


def _dark(colour: Any) -> tuple[float, float, float, float]:  # noqa: ANN401  # anything that matplotlib accepts as a colour
    r, g, b, alpha = to_rgba(colour)
    return to_rgba(DARK.get(to_hex((r, g, b)), (r, g, b)), alpha)
