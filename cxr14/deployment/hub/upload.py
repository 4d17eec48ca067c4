"""Upload of the folder to the hub, or to the server that HF_ENDPOINT names."""

from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

from cxr14.deployment.hub.layout import FILES
from cxr14.errors import InputError


def upload(folder: Path, name: str, private: bool) -> str:
    """Upload the files of a folder that `layout.write_folder` wrote; no other file in it is sent.

    Args:
        folder: the folder.
        name: of the repository, OWNER/NAME; it is made where it is missing.
        private: whether a repository that is made is private; one that exists stays as it is.

    Returns:
        The address of the repository.

    Raises:
        InputError: no such name is possible, the server cannot be reached, or it refuses.
    """
    if constants.HF_HUB_OFFLINE:
        raise InputError(f"nothing was uploaded to {name}: HF_HUB_OFFLINE is set; the files are in {folder}.")
    api = HfApi()
    try:
        repository = api.create_repo(name, private=private, exist_ok=True)
        api.upload_folder(
            repo_id=repository.repo_id,
            folder_path=folder,
            allow_patterns=list(FILES),
            commit_message="Weights, configuration, exported model and model card",
        )
    except HFValidationError as error:
        raise InputError(f"{name!r} is no name of a repository: {str(error).splitlines()[0]}") from error
    except HfHubHTTPError as error:
        raise InputError(
            f"{constants.ENDPOINT} refused the upload to {name} ({_first_line(error)}); log in with "
            f"'hf auth login' and a token that may write. The files are in {folder}."
        ) from error
    except (HTTPError, OSError, ValueError) as error:
        raise InputError(
            f"the upload to {name} at {constants.ENDPOINT} failed ({_first_line(error)}); the files are in "
            f"{folder}."
        ) from error
    return str(repository)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line), type(error).__name__)
