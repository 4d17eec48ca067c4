"""An exported model in ONNX Runtime."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime

from cxr14.deployment.card import ModelCard, read_card, require_belongs
from cxr14.deployment_settings import CARD_FILE
from cxr14.errors import InputError

_FATAL = 4  # ONNX Runtime's own log goes to stderr; what it says there arrives as an exception as well


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of N radiographs."""

    logits: np.ndarray
    """(N, 14) float32."""
    probabilities: np.ndarray
    """(N, 14) float32, calibrated."""
    heat_maps: np.ndarray | None
    """(N, 14, C, C) float32, 0 or more: the evidence for each finding by cell; None: there are none."""


class Network:
    """The model's file alone."""

    def __init__(self, model: Path | bytes, threads: int = 1) -> None:
        """Load a model.

        Args:
            model: an ONNX file that export-model.py wrote, or the content of one.
            threads: of the computation; 0 takes all cores.

        Raises:
            InputError: this ONNX Runtime cannot load it.
        """
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _FATAL
        try:
            self._session = onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exceptions have no common base of their own
            name = "" if isinstance(model, bytes) else f" {model}"
            raise InputError(
                f"the model{name} cannot be loaded by onnxruntime {onnxruntime.__version__} "
                f"({type(error).__name__}): export it again, or update onnxruntime."
            ) from None
        self.outputs = [output.name for output in self._session.get_outputs()]

    def __call__(self, gray: np.ndarray, heat_maps: bool = True) -> Answers:
        """Read radiographs.

        Args:
            gray: (N, S, S) uint8.
            heat_maps: whether to return the heat maps, if the model has any.
        """
        names = [name for name in self.outputs if heat_maps or name != "heat_maps"]
        found = dict(
            zip(names, self._session.run(names, {"gray": np.ascontiguousarray(gray[:, None])}), strict=True)
        )
        return Answers(found["logits"], found["probabilities"], found.get("heat_maps"))


def load_model(path: Path, threads: int = 1) -> tuple[Network, ModelCard]:
    """Load a model and the card beside it.

    Args:
        path: the model; its card lies in the same folder.
        threads: of the computation; 0 takes all cores.

    Raises:
        InputError: either is missing, damaged or of a newer format, or the card belongs to another model.
    """
    if not path.is_file():
        raise InputError(f"there is no model {path}; run export-model.py first, or give its --model-path.")
    card_path = path.with_name(CARD_FILE)
    card = read_card(card_path)
    require_belongs(card, card_path, path)
    return Network(path, threads), card
