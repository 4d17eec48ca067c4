"""A train script with a network that trains in seconds, without BatchNorm or dropout.

Their results would depend on how a batch is shared between processes.
"""

from cxr14.settings import ROOT

STOCK = ROOT / "1-EEEA-Net-C2" / "train-model.py"
IMPORT = "        from model import build_model\n\n"
BUILD_MODEL = '''
def build_model(num_classes=14, pretrained=True, image_size=224):
    """A network whose training step takes STEP_SECONDS, so that a test can stop it in the middle."""
    import os, time
    from torch import nn

    class Pause(nn.Module):
        def forward(self, images):
            time.sleep(float(os.environ.get("STEP_SECONDS", "0")) if self.training else 0)
            return images

    layers = [Pause(), nn.Conv2d(3, 8, 8, stride=8), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(32, num_classes))


'''


def write_script(folder, more="", name="train-model.py"):
    """Write train-model.py, or test-model.py, into `folder` and return its path."""
    folder.mkdir(exist_ok=True)
    stock = (STOCK.parent / name).read_text()
    head, main, body = stock.replace(IMPORT, "").partition('if __name__ == "__main__":')
    (folder / name).write_text(head + BUILD_MODEL + more + main + body)
    return folder / name
