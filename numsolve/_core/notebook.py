"""What a notebook shows of a result: its fields, and its own picture, small."""

from __future__ import annotations

import base64
import html
import io
from typing import TYPE_CHECKING, Any

from .extras import installed
from .unheard import unheard

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: inches of the picture
SIZE = (3.6, 2.4)


def as_html(title: str, fields: Mapping[str, str], plot: Callable[[], Any]) -> str:
    """A table of the fields beside the picture that `plot` draws."""
    cell = "style='text-align:left;vertical-align:top;padding:1px 8px'"
    rows = "".join(
        f"<tr><th {cell}>{html.escape(name)}</th><td {cell}>{html.escape(text)}</td></tr>"
        for name, text in fields.items()
    )
    table = f"<table><caption style='text-align:left'>{title}</caption>{rows}</table>"
    picture = small_picture(title, plot)
    return f"<div style='display:flex;flex-wrap:wrap;align-items:center;gap:1em'>{table}{picture}</div>"


def small_picture(title: str, plot: Callable[[], Any]) -> str:
    """The picture as an image in the page; nothing where it cannot be drawn."""
    if not installed("matplotlib"):
        return ""
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    open_before = set(plt.get_fignums())
    interactive = plt.isinteractive()
    plt.ioff()  # a notebook would show the figure a second time
    try:
        with unheard():  # of what is too small to be laid out well
            return _drawn(title, plot)
    except Exception as error:  # whatever a picture needs and this result lacks: the table still shows
        return f"<!-- no picture: {html.escape(str(error))} -->"
    finally:
        for number in set(plt.get_fignums()) - open_before:
            plt.close(number)
        mpl.interactive(interactive)


def _drawn(title: str, plot: Callable[[], Any]) -> str:
    drawn = plot()
    figure = getattr(drawn, "figure", drawn)
    figure.set_size_inches(*SIZE)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    data = base64.b64encode(buffer.getvalue()).decode()
    return f"<img alt='{title}' src='data:image/png;base64,{data}'/>"
