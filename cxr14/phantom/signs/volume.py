"""What findings do to volumes and positions, before anything is drawn: lungs shrink or swell, hearts grow.

Each function bears the name of its finding; the sign itself is in the module that draws it.
"""

from cxr14.phantom.body import LEFT, RIGHT, TOWARDS, Body
from cxr14.phantom.signs.sign import Sign


def atelectasis(body: Body, sign: Sign) -> None:
    """Collapsed lung takes less room: the hemidiaphragm rises and the mediastinum is drawn to that side."""
    body.dome[sign.side] -= 0.075 * sign.severity
    body.shift += TOWARDS[sign.side] * 0.05 * sign.severity


def cardiomegaly(body: Body, sign: Sign) -> None:
    """An enlarged heart: wider than half of the thorax, the readers' limit (cardiothoracic ratio 0.5)."""
    body.heart_ratio = max(body.heart_ratio, 0.50) + 0.085 * sign.severity


def edema(body: Body, sign: Sign) -> None:
    """The congestion behind edema widens the vessels of both lungs."""
    body.vessels = [calibre * (1 + 0.20 * sign.severity) for calibre in body.vessels]


def emphysema(body: Body, sign: Sign) -> None:
    """Overinflated, black lungs: diaphragm low and flat, thorax wide, heart narrow, vessels few and thin."""
    degree = min(1.0, 0.06 + 0.66 * sign.severity)
    for side in (RIGHT, LEFT):
        body.dome[side] += 0.13 * degree
        body.drop[side] *= 1 - 0.70 * degree
        body.air[side] *= 1 + 0.13 * degree
        body.vessels[side] *= 1 - 0.45 * degree
    body.half_width += 0.03 * degree
    body.heart_ratio *= 1 - 0.12 * degree


def fibrosis(body: Body, sign: Sign) -> None:
    """Scar shrinks: both lungs lose volume."""
    body.dome = [dome - 0.055 * sign.severity for dome in body.dome]


def pneumothorax(body: Body, sign: Sign) -> None:
    """Air under pressure in the pleural space pushes the mediastinum to the other side."""
    body.shift -= TOWARDS[sign.side] * 0.05 * max(0.0, sign.severity - 0.4)
