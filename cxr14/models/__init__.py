"""The five networks, their published weights, and checkpoints.

Importing this package registers EEEA-Net-C2 and OFA-595 with timm: ``timm.create_model("eeea_net_c2")``.
"""

from cxr14.models import timm_entries  # noqa: F401 - its import registers the networks
