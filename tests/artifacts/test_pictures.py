"""Pictures: files, bytes, and what matplotlib, plotly and PIL make, kept with their bytes."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import plotly.graph_objects as go
import pytest
from matplotlib.figure import Figure
from PIL import Image

from surefoot import flow
from surefoot.artifacts import Artifact, ImageArtifact, create_image_artifact, create_plot_artifact
from surefoot.artifacts.pictures import picture_bytes
from surefoot.exceptions import BadInput

mpl.use("Agg")
PNG = b"\x89PNG\r\n\x1a\n"


def a_plot() -> Figure:
    figure = Figure()
    figure.subplots().plot([1, 3, 2])
    return figure


def test_a_figure_of_matplotlib_is_kept_as_an_image(home: Path) -> None:
    @flow
    def main() -> None:
        figure = a_plot()
        create_plot_artifact(figure, key="plot")
        create_image_artifact(image=figure, key="image", format="svg")
        create_image_artifact(figure.axes[0], "axes")  # type: ignore[arg-type]
        ImageArtifact(image=figure, key="object").create()

    main()
    for key, media_type, start in (
        ("plot", "image/png", PNG),
        ("image", "image/svg+xml", b"<?xml"),
        ("axes", "image/png", PNG),
        ("object", "image/png", PNG),
    ):
        found = Artifact.get(key)
        assert found is not None
        assert (found.type, found.media_type) == ("image", media_type)
        assert found.place is not None
        assert Path(found.place).read_bytes() == found.data
        assert found.data.startswith(start)
        assert Path(found.place).suffix == f".{media_type.partition('/')[2].partition('+')[0]}"


def test_a_figure_of_plotly_is_a_page_that_works_without_a_network() -> None:
    @flow
    def main() -> None:
        create_plot_artifact(go.Figure(go.Scatter(x=[1, 2], y=[3, 4])), key="plot")

    main()
    found = Artifact.get("plot")
    assert found is not None
    assert found.media_type == "text/html"
    page = found.data.decode()
    assert "<html>" in page[:100]
    assert len(page) > 1_000_000  # the library is in it
    assert 'src="http' not in page
    assert Path(str(found.place)).suffix == ".html"


def test_an_image_of_pil_is_kept_as_asked_for() -> None:
    image = Image.new("RGB", (8, 8))
    assert picture_bytes(image)[1] == "image/png"
    assert picture_bytes(image, "jpg")[0][:3] == b"\xff\xd8\xff"
    assert picture_bytes(image, "webp")[0][8:12] == b"WEBP"


def test_files_and_bytes_are_known_by_what_is_in_them(tmp_path: Path) -> None:
    out = BytesIO()
    a_plot().savefig(out)
    assert picture_bytes(out)[1] == picture_bytes(out.getvalue())[1] == picture_bytes(bytearray(PNG))[1] == "image/png"
    for name, content, media_type in (
        ("photo", b"\xff\xd8\xff\xe0....", "image/jpeg"),
        ("moving", b"GIF89a....", "image/gif"),
        ("drawing", b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg xmlns='x'>", "image/svg+xml"),
        ("small", b"<svg></svg>", "image/svg+xml"),
        ("page", b"\n<!DOCTYPE html><html>", "text/html"),
    ):
        (tmp_path / name).write_bytes(content)
        assert picture_bytes(tmp_path / name) == (content, media_type)
        assert picture_bytes(str(tmp_path / name)) == (content, media_type)


class Shown:
    def _repr_png_(self) -> bytes:
        return PNG


def test_what_a_notebook_would_show_is_taken_too() -> None:
    assert picture_bytes(Shown()) == (PNG, "image/png")


@pytest.mark.parametrize(
    ("picture", "format", "told"),
    [
        (b"no image", None, "What was passed as bytes is no image that is known"),
        (b"", None, "is no image that is known"),
        ("/no/such/file.png", None, "The image '/no/such/file.png' cannot be read: No such file"),
        ("https://example.com/a.png", None, "is an address. Pass it as image_url"),
        ("a\0b", None, "is no path"),
        ("/", None, "cannot be read"),
        (5, None, "The image is of type int. Pass a file, bytes, a figure"),
        (a_plot(), "gif", "format is 'gif'. Use one of html, jpeg, jpg, png, svg, webp"),
        (a_plot(), "html", "The Figure could not be made html: Format 'html' is not supported"),
        (go.Figure(), "png", "The Figure could not be made png: "),
        (Image.new("CMYK", (8, 8)), None, "The Image could not be made an image: cannot write mode CMYK as PNG"),
        (Image.new("RGB", (8, 8)), "html", "The Image could not be made html"),
    ],
)
def test_what_is_no_picture_is_refused_with_the_reason(picture: Any, format: str | None, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        create_plot_artifact(picture, format=format)
    assert told in str(refused.value)
