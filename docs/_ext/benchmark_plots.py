"""Time against size, drawn as SVG that stands in the page and takes its colour of text, light or dark."""

from __future__ import annotations

import io
import math
import re
from statistics import geometric_mean

from benchmark_rows import Series, exponent
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

#: one colour for each package on all pages, readable on white and on black
COLOURS = {
    "numsolve": "#e0393e",
    "POT": "#3b82d6",
    "SciPy": "#2f9e5f",
    "PyAMG": "#9a63d4",
    "HiGHS": "#d98a1f",
    "OR-tools": "#b0793f",
    "mdot-tnt": "#14a3a8",
    "OTT": "#14a3a8",
    "regot": "#d65fae",
    "scikit-learn": "#d98a1f",
    "jaxopt": "#7d8f1e",
    "diffrax": "#7d8f1e",
}
OTHERS = "#8a8a8a"
#: our other settings and bounds, where they are the other side
OURSELVES = "#f0989b"
#: variants of one package
STYLES = ("-", "--", ":", "-.")
MARKERS = "os^Dvx"
#: is not drawn, but replaced by the colour of the page's text
TEXT = "#010203"
ALT = "Time against size, for us and each peer; the list below has the slopes"
COLUMNS = 3
#: beyond this many sizes points are a cloud, with the fitted power through it
CLOUD = 10
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 9,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "axes.edgecolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "grid.color": TEXT,
    "grid.alpha": 0.15,
    "legend.frameon": False,
}


def package(side: str) -> str:
    """What chooses the colour: "POT stored (log)" is POT, and "scipy" SciPy."""
    first = side.split(maxsplit=1)[0]
    return {"scipy": "SciPy", "LogisticRegressionCV": "scikit-learn"}.get(first, first)


def looks(sides: list[str]) -> dict[str, dict]:
    """Colour, dashes and marker of each side: the colour says whose it is, the dashes which."""
    found: dict[str, dict] = {}
    seen: dict[str, int] = {}
    for side in sides:
        name = package(side)
        turn = seen[name] = seen.get(name, -1) + 1
        colour = COLOURS.get(name, OTHERS)
        if name == "numsolve" and side != "numsolve":
            colour = OURSELVES
        style = STYLES[turn % len(STYLES)]
        found[side] = {
            "color": colour,
            "ls": style,
            "marker": MARKERS[turn % len(MARKERS)],
        }
    found.get("numsolve", {})["lw"] = 2.4
    return found


def wrapped(text: str, width: int = 38) -> str:
    """The title of a panel on at most a few lines."""
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def short(size: float) -> str:
    """A size as the mark of an axis: 4000, 40 k, 1.6 M."""
    if size >= 1e6:
        return f"{size / 1e6:.3g} M"
    return f"{size / 1e3:.3g} k" if size >= 1e4 else f"{size:g}"


def fitted(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Both ends of the fitted power through a cloud: the sizes, and the seconds."""
    sizes, seconds = zip(*points, strict=True)
    power = exponent(points) or 0.0
    middle, level = geometric_mean(sizes), geometric_mean(seconds)
    ends = [min(sizes), max(sizes)]
    return ends, [level * (size / middle) ** power for size in ends]


def draw(every: list[Series], name: str) -> str:
    """One panel for each series, as the source of an SVG; `name` keeps its ids apart from others'."""
    with rc_context(STYLE | {"svg.hashsalt": name}):
        across = min(COLUMNS, len(every))
        down = -(-len(every) // COLUMNS)
        sides = list(dict.fromkeys(side for one in every for side in one.sides))
        look = looks(sides)
        rows = -(-len(sides) // 3)
        figure = Figure(figsize=(3.3 * across, 2.8 * down + 0.22 * rows + 0.1))
        figure.set_layout_engine("constrained")
        axes = figure.subplots(down, across, squeeze=False).ravel()
        for ax, one in zip(axes, every, strict=False):
            ax.set(xscale="log", yscale="log", xlabel="size N", ylabel="seconds")
            ax.set_title(wrapped(f"{one.name}: {one.metric}"))
            ax.grid(visible=True)
            ax.patch.set_alpha(0)
            seconds = [t for points in one.sides.values() for _, t in points]
            ax.set_ylim(
                10 ** math.floor(math.log10(min(seconds) * 0.8)),
                10 ** math.ceil(math.log10(max(seconds) * 1.2)),
            )
            ax.minorticks_off()
            if len(sizes := one.sizes()) <= CLOUD:
                ax.set_xticks(sizes, [short(size) for size in sizes])
            for side, points in one.sides.items():
                if not points:
                    continue
                if len(points) > CLOUD:
                    ax.plot(
                        *zip(*points, strict=True), **look[side] | {"ls": "", "ms": 3}
                    )
                    ax.plot(*fitted(points), **look[side] | {"marker": ""})
                else:
                    ax.plot(*zip(*sorted(points), strict=True), **look[side], ms=4.5)
        for ax in axes[len(every) :]:
            ax.set_axis_off()
        handles = [Line2D([], [], label=side, **look[side], ms=4.5) for side in sides]
        columns = min(across, 3)
        figure.legend(handles=handles, loc="outside lower center", ncols=columns)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None})
    return inline(stream.getvalue(), name)


def inline(svg: str, name: str) -> str:
    """The drawing without its head and with ids of its own, so that a page can hold several."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'href="#', f'href="#{name}-', svg).replace("url(#", f"url(#{name}-")
    # its rule for all elements would hold for the page
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = svg.replace(TEXT, "currentColor")
    return svg.replace(
        "<svg ", f'<svg role="img" aria-label="{ALT}" class="growth" ', 1
    )
