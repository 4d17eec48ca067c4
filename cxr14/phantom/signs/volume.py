"""Effects of findings on volumes and positions, applied before anything is drawn."""

from cxr14.phantom.body import LEFT, RIGHT, X_SIGN, Body
from cxr14.phantom.signs.sign import Sign


def atelectasis(body: Body, sign: Sign) -> None:
    """Raise the hemidiaphragm and shift the mediastinum to the side of the collapse."""
    body.dome[sign.side] -= 0.075 * sign.severity
    body.shift += X_SIGN[sign.side] * 0.05 * sign.severity


def cardiomegaly(body: Body, sign: Sign) -> None:
    """Widen the heart beyond half of the thorax (cardiothoracic ratio 0.5)."""
    body.heart_ratio = max(body.heart_ratio, 0.50) + 0.085 * sign.severity


def edema(body: Body, sign: Sign) -> None:
    """Widen the vessels of both lungs."""
    body.vessels = [calibre * (1 + 0.20 * sign.severity) for calibre in body.vessels]


def emphysema(body: Body, sign: Sign) -> None:
    """Overinflate the lungs: low, flat diaphragm, wide thorax, narrow heart, thin vessels."""
    degree = min(1.0, 0.06 + 0.66 * sign.severity)
    for side in (RIGHT, LEFT):
        body.dome[side] += 0.13 * degree
        body.drop[side] *= 1 - 0.70 * degree
        body.air[side] *= 1 + 0.13 * degree
        body.vessels[side] *= 1 - 0.45 * degree
    body.half_width += 0.03 * degree
    body.heart_ratio *= 1 - 0.12 * degree


def fibrosis(body: Body, sign: Sign) -> None:
    """Reduce the volume of both lungs."""
    body.dome = [dome - 0.055 * sign.severity for dome in body.dome]


def pneumothorax(body: Body, sign: Sign) -> None:
    """Shift the mediastinum to the other side if the pneumothorax is large."""
    body.shift -= X_SIGN[sign.side] * 0.05 * max(0.0, sign.severity - 0.4)
