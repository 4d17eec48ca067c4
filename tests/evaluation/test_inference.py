"""Radiographs become logits: in the list's order, ten crops averaged as probabilities."""

import numpy as np
import torch
from torchvision.transforms import v2

from cxr14.data import augment
from cxr14.data.loader import Batches
from cxr14.evaluation import inference
from cxr14.runtime.distributed import ProcessGroup
from tests.toy import SIDE, toy_data, toy_network

SIZE = 32


def test_ten_crops_are_averaged_as_probabilities():
    """Against torchvision's crops, one radiograph and one crop at a time."""
    data, network = toy_data(), toy_network().eval()
    batches = Batches(data.val, data.images, side=SIDE, batch_size=7)
    logits = inference.predict(network, batches, ProcessGroup(torch.device("cpu")), image_size=SIZE, crops=10)
    for row, name in enumerate(data.val.names[:5]):
        film = torch.from_numpy(data.images.read([name], SIDE))
        with torch.no_grad():
            crops = [network(augment.normalise(crop)) for crop in v2.TenCrop(SIZE)(film)]
        expected = torch.sigmoid(torch.cat(crops)).double().mean(dim=0).numpy()
        np.testing.assert_allclose(1 / (1 + np.exp(-logits[row])), expected, rtol=1e-5)


def test_order_is_that_of_the_list_for_any_batch_size():
    data, network = toy_data(), toy_network()
    answers = [
        inference.predict(
            network,
            Batches(data.val, data.images, side=SIDE, batch_size=size),
            ProcessGroup(torch.device("cpu")),
            image_size=SIZE,
        )
        for size in (3, 20)
    ]
    np.testing.assert_allclose(*answers, rtol=1e-4, atol=1e-5)


def test_mean_logit_is_finite_where_probabilities_saturate():
    logits = torch.tensor([[[300.0], [400.0]], [[-300.0], [-400.0]], [[60.0], [-60.0]]]).double()
    means = inference.mean_logit(logits).flatten()
    assert torch.isfinite(means).all()
    torch.testing.assert_close(means[0], torch.tensor(300.0 + np.log(2), dtype=torch.float64))
    torch.testing.assert_close(means[:2].sum(), torch.tensor(0.0, dtype=torch.float64))
    assert means[2] == 0
