"""Class activation maps: logits unchanged, and the mean over cells is the logit where the head is linear."""

import pytest
import torch

from cxr14.models import zoo
from cxr14.models.class_maps import WithClassMaps

SIZE = 96
LINEAR_HEADS = ("3-CheXNet", "4-Visformer-small", "5-AutoFormerV2-base")


@pytest.fixture(scope="module", params=zoo.NAMES)
def network(request):
    torch.manual_seed(0)
    return request.param, zoo.build(request.param, pretrained=False, image_size=SIZE).eval()


@torch.inference_mode()
def test_logits_are_those_of_the_network(network):
    name, model = network
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    logits, maps = WithClassMaps(model)(images)
    assert torch.equal(logits, model(images))
    assert maps.shape == (2, 14, 3, 3)
    if name in LINEAR_HEADS:
        assert torch.allclose(maps.mean(dim=(2, 3)), logits, atol=1e-4)


@torch.inference_mode()
def test_a_cell_depends_on_its_own_features_alone(network):
    name, model = network
    channels_last = name.startswith("5")
    features = model.forward_features(torch.randn(1, 3, SIZE, SIZE))
    model.forward_features, original = lambda images: images, model.forward_features
    try:
        maps = WithClassMaps(model)(features)[1]
        changed = features.clone()
        cell = changed[:, 0, 1] if channels_last else changed[:, :, 0, 1]
        cell += torch.randn_like(cell)
        moved = WithClassMaps(model)(changed)[1]
    finally:
        model.forward_features = original
    different = (maps != moved).any(dim=1)[0]
    assert different[0, 1]
    assert different.sum() == 1
