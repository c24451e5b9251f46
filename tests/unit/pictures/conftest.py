"""Reading a picture back: what is drawn where."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import attrs
import pytest

from perfrun_kernels.pictures import svg

SPACE = "{http://www.w3.org/2000/svg}"
WIDE = 0.62
"""Width of a character, as a share of the font's size: a little more than most are."""


@attrs.frozen
class Drawn:
    """A picture's elements."""

    root: ET.Element

    @property
    def height(self):
        return float(self.root.get("viewBox").split()[3])

    def all(self, name, **wanted):
        found = self.root.iter(SPACE + name)
        return [each for each in found if all(each.get(key.rstrip("_")) == value for key, value in wanted.items())]

    def words(self):
        return [each.text or "" for each in self.all("text")]

    def tips(self):
        return [each.text for each in self.all("title")]

    def outside(self):
        """Return what lies beyond the page's edges."""
        return [*self._texts_outside(), *(each for each in self._points() if not self._inside(*each))]

    def _texts_outside(self):
        for each in self.all("text"):
            width = len(each.text or "") * WIDE * float(each.get("font-size"))
            start = float(each.get("x")) - {"start": 0, "middle": width / 2, "end": width}[each.get("text-anchor")]
            if not (self._inside(start, float(each.get("y"))) and start + width <= svg.WIDTH):
                yield each.text

    def _inside(self, x, y):
        return 0 <= x <= svg.WIDTH and 0 <= y <= self.height

    def _points(self):
        for each in self.all("rect")[1:]:
            x, y, width, height = (float(each.get(name)) for name in ("x", "y", "width", "height"))
            yield from ((x, y), (x + width, y + height), (width, height))
        for name, keys in (("circle", ("cx", "cy")), ("line", ("x1", "y1")), ("line", ("x2", "y2"))):
            yield from (tuple(float(each.get(key)) for key in keys) for each in self.all(name))
        for each in [*self.all("polyline"), *self.all("polygon")]:
            yield from (tuple(map(float, pair.split(","))) for pair in each.get("points").split())


@pytest.fixture(scope="session")
def read():
    return lambda text: Drawn(ET.fromstring(text))  # noqa: S314 -- our own output
