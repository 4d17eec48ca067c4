"""Position of the network's input on a radiograph, mean and deviation; no torch."""

# ImageNet's mean and standard deviation by channel, for images in 0 to 1: all five networks start from
# ImageNet weights and expect them; a gray value counts as all three channels.
MEAN: tuple[float, float, float] = (0.485, 0.456, 0.406)
STD: tuple[float, float, float] = (0.229, 0.224, 0.225)


def read_side(image_size: int) -> int:
    """Return the side at which images are read for crops of `image_size`: 256 for 224, as the study does."""
    return round(image_size * 256 / 224)


def image_size_for(side: int) -> int:
    """Return the input of a network that is cropped from images of `side`: 224 for 256, 448 for 512."""
    return round(side * 224 / 256)


def centre_start(side: int, image_size: int) -> int:
    """Return the first pixel, along either axis, of the centre crop of `image_size` in an image of `side`."""
    return round((side - image_size) / 2)


def crop_start(image_size: int) -> int:
    """Return the first pixel, along either axis, of the centre crop in a radiograph as it is read."""
    return centre_start(read_side(image_size), image_size)
