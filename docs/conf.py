"""Sphinx settings. DOCS_OFFLINE=1 builds without a network."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE / "_ext")]

import thumbnails

from numsolve import __version__

project = "numsolve"
author = "numsolve contributors"
project_copyright = "2026, numsolve contributors"
version = release = __version__

extensions = [
    "api_pages",
    "benchmark_tables",
    "names",
    "scaling_plot",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = [
    "benchmarks/gallery/README.md",
    "_build",
    "gallery/**/*.md5",
    "api/contents.rst",
]
templates_path = ["_templates"]
nitpicky = True
default_role = "name"
suppress_warnings = ["config.cache"]  # the settings of sphinx-gallery hold functions

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

# numpydoc gives the types in words; annotations such as ArrayLike would only appear a second time.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_validation_checks = {"PR01", "PR02", "PR03", "RT01", "SS03"}
# The fields of results are Attributes, not Parameters: solvers make results, users only read them.
numpydoc_validation_exclude = {
    r"\.__",
    r"Warning$",
    r"Error$",
    r"Status",
    r"Result(\.keys|\.raise_for_status)?$",
    r"(ICT|ILU)\.transpose$",  # SciPy's
    # what other files of the package call, and users need not
    r"AtomDFT\.(field|first_potential)$",
    r"GLM\.(slopes|value)$",
    r"(DCDM|NPSD)Net\.(check|fill)$",
    r"GridPoisson\.(arguments|collect|face_weights|inverse_diagonal|moved|places|spread)$",
    r"PoissonMultigrid(\.(as_it_is|cycle))?$",
    r"RieszSplineOperator\.assemble$",
    r"SequenceHistory\.append$",
    r"SweepPlan\.(halves|pattern_for)$",
    # what a class inherits is documented where it comes from
    r"(Gradient|Active)(\.\w+)?$",
    r"Sketch(\.(dot|transpose))?$",
    r"(Equality|Estimator)Problem$",
    r"(GridPoisson|PoissonMultigrid)\.transpose$",
    r"CloudPlan(\.(dot|matmat|matvec|rmatmat|rmatvec|transpose))?$",
    r"(Sample|Divergence|SparseTransport)Result\.(vjp|barycentric_map)$",
    r"problems\.Diffusion\.",
}

if os.environ.get("DOCS_OFFLINE"):
    intersphinx_mapping = {}
    nitpick_ignore_regex = [
        (
            "py:.*",
            r"(numpy|np|npt|scipy|python|matplotlib|cupy|jax|ot|regot|concurrent)(\..*)?",
        )
    ]
else:
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "numpy": ("https://numpy.org/doc/stable", None),
        "scipy": ("https://docs.scipy.org/doc/scipy", None),
        "matplotlib": ("https://matplotlib.org/stable", None),
    }
    intersphinx_timeout = 5

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"plot_",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "doc_module": ("numsolve",),
    "backreferences_dir": "api/backreferences",
    "capture_repr": (
        "_repr_html_",
    ),  # results show themselves, and Matplotlib's objects do not
    "image_scrapers": (thumbnails.scraper,),
    "reset_modules": ("matplotlib", "pages.reset"),
    "thumbnail_size": (640, 448),
    "remove_config_comments": True,
    "matplotlib_animations": True,
    "min_reported_time": 1e9,  # how long a page took on the machine that built it says nothing
    "write_computation_times": False,
    "show_memory": False,
    "show_signature": False,
}

html_theme = "pydata_sphinx_theme"
html_title = (
    "numsolve"  # the default with the version in it overlaps the navigation bar
)
html_favicon = "_static/favicon.svg"
html_static_path = ["_static"]
html_css_files = ["numsolve.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {
        "image_light": "_static/logo.svg",
        "image_dark": "_static/logo_dark.svg",
        "alt_text": "numsolve",
    },
    "pygments_light_style": "tango",
    "pygments_dark_style": "monokai",
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_prev_next": False,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {
    name: []
    for name in (
        "index",
        "install",
        "changelog",
        "benchmarks/index",
        "contributing/house",
    )
}

# One file draws formulas as SVG, without a network and without fonts.
mathjax_path = "mathjax/tex-svg.js"


def leave_out(*args) -> bool | None:
    """Leave out what estimators inherit from scikit-learn, whose pages it is on."""
    _, _, _, member, _, _ = args
    module = getattr(member, "__module__", None)
    return True if str(module).partition(".")[0] == "sklearn" else None


def setup(app) -> None:
    """Register with Sphinx."""
    app.connect("autodoc-skip-member", leave_out)
