"""Thumbnails of the gallery that show one plot, drawn for the size of a thumbnail.

Sphinx-gallery shrinks a whole figure. A page that has the comments

    # sphinx_gallery_thumbnail_number = 2
    # sphinx_gallery_thumbnail_axes = 0

gets its second figure's first axes instead, without the title, with larger letters and thicker lines; several
axes stand side by side (``[0, 2]``). Without the second comment the figure is shrunk as it is.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib import pyplot as plt
from matplotlib.gridspec import GridSpec
from sphinx_gallery.scrapers import matplotlib_scraper

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCHES, DPI = (4.0, 2.8), 200
LABELS, TICKS, THICKER = 13.0, 11.0, 1.4
FITS = 22  # letters of an axis label that fit at that size


def frame(figure: Figure, chosen: list[int]) -> None:
    """Leave the chosen axes alone in the figure, and draw them for a small size."""
    kept = [figure.axes[k] for k in chosen]
    for artist in [
        *(ax for ax in figure.axes if ax not in kept),
        *figure.legends,
        *figure.texts,
    ]:
        artist.remove()
    figure.set_layout_engine("constrained")
    figure.set_size_inches(*INCHES)
    for ax, place in zip(kept, GridSpec(1, len(kept), figure=figure), strict=True):
        ax.set_subplotspec(place)
        ax.set_title("")
        pictures = bool(ax.images) and not ax.axison
        if not pictures:
            ax.tick_params(
                labelsize=TICKS, labelleft=bool(ax.get_yticks().size), labelbottom=True
            )
        for label in (
            ax.xaxis.label,
            ax.yaxis.label,
            ax.xaxis.offsetText,
            ax.yaxis.offsetText,
        ):
            label.set_fontsize(LABELS * min(1.0, FITS / max(len(label.get_text()), 1)))
        for line in ax.lines:
            line.set_linewidth(THICKER * line.get_linewidth())
        legend = ax.get_legend()
        words = [text.get_text() for text in legend.get_texts()] if legend else []
        # neither beside a square picture nor over the curves is room for a long one
        if legend and (ax.get_aspect() == 1 or max(map(len, words), default=0) > FITS):
            legend.remove()
        elif legend:
            for text in legend.get_texts():
                text.set_fontsize(TICKS)


def scraper(
    block: Any, block_vars: dict[str, Any], gallery_conf: Any, **kwargs: Any
) -> str:
    """Save the figures of a block, and the thumbnail when the figure that it shows is among them."""
    config = block_vars["file_conf"]
    figures = [plt.figure(number) for number in plt.get_fignums()]
    first = len(block_vars["image_path_iterator"]) + 1
    text = matplotlib_scraper(block, block_vars, gallery_conf, **kwargs)
    number = config.get("thumbnail_number", 1)
    if "thumbnail_axes" in config and first <= number < first + len(figures):
        figure, chosen = figures[number - first], config["thumbnail_axes"]
        frame(figure, [chosen] if isinstance(chosen, int) else list(chosen))
        target = Path(block_vars["target_file"])
        path = target.parent / "images" / f"frame_{target.stem}.png"
        figure.savefig(path, dpi=DPI)
        config.pop("thumbnail_number", None)
        config["thumbnail_path"] = path.relative_to(gallery_conf["src_dir"]).as_posix()
    return text
