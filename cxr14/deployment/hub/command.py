"""The entry of share-model.py."""

from cxr14.data.nih_tables import read_demographics
from cxr14.deployment.card import read_card, require_belongs
from cxr14.deployment.hub.layout import README_FILE, require_own, write_folder
from cxr14.deployment.hub.readme import Subject, write_readme
from cxr14.deployment.hub.upload import upload
from cxr14.deployment_settings import CARD_FILE, ShareSettings
from cxr14.errors import InputError
from cxr14.evaluation.results import Results
from cxr14.evaluation.subgroups import subgroup_aurocs
from cxr14.models import checkpoint, zoo


def share(settings: ShareSettings) -> None:
    """Write a folder for the hub, and upload it if wanted: what share-model.py does.

    Raises:
        InputError: checkpoint, results and exported model do not belong together or cannot be read, the
            folder cannot be written, or the upload fails.
    """
    require_own(settings.out_dir)
    card_path = settings.model_path.with_name(CARD_FILE)
    card = read_card(card_path)
    require_belongs(card, card_path, settings.model_path)
    model, loaded = checkpoint.load(settings.ckpt_path)
    results = Results.load(settings.results_dir)
    for path, weights_hash in (
        (settings.model_path, card.weights_hash),
        (settings.results_dir, results.test.weights_hash),
    ):
        if weights_hash != loaded.weights_hash:
            raise InputError(
                f"the weights behind {path} are not those of {settings.ckpt_path}: test and export this "
                "checkpoint first."
            )
    if loaded.about.network not in zoo.NAMES:
        raise InputError(
            f"{loaded.about.network} is not one of the five networks, which timm can build: "
            f"{', '.join(zoo.NAMES)}."
        )
    subgroups = []
    if settings.nih_table:
        subgroups = subgroup_aurocs(results.test, read_demographics(settings.nih_table))
    subject = Subject(model.pretrained_cfg["architecture"], loaded, card, results, subgroups)
    write_folder(
        settings.out_dir, model, card.preprocessing, settings.model_path, write_readme(subject, settings)
    )
    print(f"{settings.out_dir} is written; read its {README_FILE} before you share it.")
    if settings.push:
        print(f"{upload(settings.out_dir, settings.push, settings.private)} has the files.")
