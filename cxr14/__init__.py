"""What the numbered stages share: data, networks, losses, the one training loop, and the statistics."""

import wrapt


# Once timm is there, and no sooner: reading predictions needs neither it nor torch, which take seconds.
@wrapt.when_imported("timm")
def _register_networks(_: object) -> None:
    from cxr14 import zoo

    zoo.register_with_timm()
