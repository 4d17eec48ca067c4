"""Matplotlib figures as <svg> elements of the page."""

import io
from xml.etree import ElementTree

import matplotlib
from matplotlib.figure import Figure

from cxr14.report import style

_LEAST_WIDTH = 42  # rem of a full-width figure; on a narrower screen the page scrolls it


def as_svg(figure: Figure, name: str) -> str:
    """Return a figure as an <svg> element without namespaces, so that it can stand in an HTML page.

    Args:
        figure: drawn within `style.report_style`.
        name: of the figure, unique within the page; it seeds the ids of markers and clip paths.
    """
    written = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(written, format="svg")
    root = ElementTree.fromstring(written.getvalue())
    for element in root.iter():
        _adapt(element)
    share = figure.get_figwidth() / style.WIDTH
    root.set("style", f"max-width: {share:.0%}; min-width: {share * _LEAST_WIDTH:.0f}rem")
    return ElementTree.tostring(root, encoding="unicode")


def _adapt(element: ElementTree.Element) -> None:
    """Drop what the page has itself, and name colours instead of writing their values."""
    element.tag = _local(element.tag)
    for child in list(element):
        # The style sheet among matplotlib's definitions would apply to all of the page.
        if _local(child.tag) in ("metadata", "style"):
            element.remove(child)
    attributes = {_local(name): value for name, value in element.attrib.items()}
    if element.tag == "g":
        attributes.pop("id", None)  # "axes_1": the same in every figure, and never referred to
    element.attrib.clear()
    element.attrib.update({name: _with_named_colours(value) for name, value in attributes.items()})


def _local(name: str) -> str:
    """Return a tag or attribute without its namespace: {http://www.w3.org/2000/svg}g -> g."""
    return name.rpartition("}")[2]


def _with_named_colours(value: str) -> str:
    for name, colour in style.COLOURS.items():
        value = value.replace(colour.light, f"var(--{name})")
    return value
