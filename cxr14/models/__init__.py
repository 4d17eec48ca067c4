"""The five networks, their published weights, and checkpoints.

Importing this package registers EEEA-Net-C2 and OFA-595 with timm: ``timm.create_model("eeea_net_c2")``.
"""

from cxr14.models import zoo

zoo.register_with_timm()
