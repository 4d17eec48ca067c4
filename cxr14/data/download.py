"""Download of NIH's archives and tables, from Hugging Face or NIH."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import DryRunFileInfo, hf_hub_download

from cxr14.data.fetch import RemoteFile, fetch, missing_bytes
from cxr14.data_settings import DownloadSettings
from cxr14.errors import InputError
from cxr14.files import exclusive, require_space

# The key in the link, the size in bytes and the MD5 of images_001 … images_012, as NIH publishes them.
_NIH_ARCHIVES = (
    ("vfk49d74nhbxq3nqjg0900w5nvkorp5c", 2_008_470_987, "fe8ed0a6961412fddcbb3603c11b3698"),
    ("i28rlmbvmfjbl8p2n3ril0pptcmcu9d1", 3_952_623_504, "ab07a2d7cbe6f65ddd97b4ed7bde10bf"),
    ("f1t00wrtdk94satdfb9olcolqx20z2jp", 3_929_234_850, "2301d03bde4c246388bad3876965d574"),
    ("0aowwzs5lhjrceb3qp67ahp0rd1l1etg", 3_838_903_983, "9f1b7f5aae01b13f4bc8e2c44a4b8ef6"),
    ("v5e3goj22zr6h8tzualxfsqlqaygfbsn", 3_935_496_531, "1861f3cd0ef7734df8104f2b0309023b"),
    ("asi7ikud9jwnkrnkj99jnpfkjdes7l6l", 3_986_301_172, "456b53a8b351afd92a35bc41444c58c8"),
    ("jn1b4mw4n6lnh74ovmcjb8y48h8xj07n", 4_016_328_426, "1075121ea20a137b87f290d6a4a5965e"),
    ("tvpxmn7qyrgl0w8wfh9kqfjskv6nmm1j", 4_018_347_353, "b61f34cec3aa69f295fbb593cbd9d443"),
    ("upyy3ml7qdumlgk2rfcvlb9k6gvqq2pj", 4_111_327_929, "442a3caa61ae9b64e61c561294d1e183"),
    ("l6nilvfa9cg3s28tqv1qc1olm3gnz54p", 4_181_556_296, "09ec81c4c31e32858ad8cf965c494b74"),
    ("hhq8fkdgvcari67vfhs7ppg2w6ni4jze", 4_187_084_020, "499aefc67207a5a97692424cf5dbeed5"),
    ("ioqwiy20ihqwyr8pf4c24eazhh281pbu", 2_914_187_733, "dc9fda1757c2de0032b63347a7d2895c"),
)
NIH_ARCHIVES: tuple[RemoteFile, ...] = tuple(
    RemoteFile(f"images_{number:03d}.tar.gz", f"https://nihcc.box.com/shared/static/{key}.gz", size, md5)
    for number, (key, size, md5) in enumerate(_NIH_ARCHIVES, start=1)
)

HUB_REPOSITORY = "alkzar90/NIH-Chest-X-ray-dataset"
_HUB_ARCHIVES = tuple(f"data/images/images_{number:03d}.zip" for number in range(1, len(NIH_ARCHIVES) + 1))
_DOCUMENTS = (
    "data/Data_Entry_2017_v2020.csv",
    "data/BBox_List_2017.csv",
    "data/train_val_list.txt",
    "data/test_list.txt",
)

_BY_HAND = """By hand: take Data_Entry_2017_v2020.csv, BBox_List_2017.csv, train_val_list.txt, test_list.txt
and the images from one of these, put them as they are into {folder}
and run prepare.py:
  NIH, 12 archives           https://nihcc.app.box.com/v/ChestXray-NIHCC
  Kaggle, the same unpacked  https://www.kaggle.com/datasets/nih-chest-xrays/data
  Kaggle, 224 px             https://www.kaggle.com/datasets/khanfashee/nih-chest-x-ray-14-224x224-resized"""


def download(settings: DownloadSettings) -> None:
    """Download what is missing of the archives and tables: what download.py does.

    Raises:
        InputError: a file cannot be downloaded; how to get it by hand is printed.
    """
    numbers = numbers_of(settings.archives)
    problem = f"another download.py is writing to {settings.out}"
    try:
        with exclusive(settings.out / ".download.lock", problem):
            if settings.source == "nih":
                from_nih([NIH_ARCHIVES[number - 1] for number in numbers], settings.out)
            else:
                from_hub([*_DOCUMENTS, *(_HUB_ARCHIVES[number - 1] for number in numbers)], settings.out)
    except InputError:
        print(_BY_HAND.format(folder=settings.out))
        raise
    print(f"Everything is in {settings.out}; next: python prepare.py --source {settings.out}")


def numbers_of(archives: str) -> list[int]:
    """Return the numbers of the archives that a setting names.

    Args:
        archives: "all", or numbers from 1 to 12 with commas between them.

    Raises:
        InputError: anything else.
    """
    count = len(NIH_ARCHIVES)
    words = map(str, range(1, count + 1)) if archives == "all" else archives.split(",")
    known = {str(number): number for number in range(1, count + 1)}
    try:
        return sorted({known[word.strip()] for word in words})
    except KeyError as error:
        raise InputError(
            f"--archives {archives}: there is no archive {error.args[0]!r}; give all, or numbers from 1 to "
            f"{count} such as 1,2."
        ) from None


def from_nih(archives: Sequence[RemoteFile], folder: Path) -> None:
    """Fetch archives from NIH, and the documents, to which NIH gives no lasting links, from the hub.

    Raises:
        InputError: the disk is too small, or a file cannot be downloaded.
    """
    _require_space(folder, sum(missing_bytes(archive, folder) for archive in archives))
    for archive in archives:
        fetch(archive, folder)
    from_hub(_DOCUMENTS, folder)


def from_hub(files: Sequence[str], folder: Path) -> None:
    """Fetch files of the copy on the Hugging Face hub, which its client resumes by itself.

    Args:
        files: paths in the repository.
        folder: receives them under the same paths.

    Raises:
        InputError: the disk is too small, or a file cannot be downloaded.
    """
    planned = [_from_hub(file, folder, dry_run=True) for file in files]
    _require_space(folder, sum(file.file_size for file in planned if file.will_download))
    for file in files:
        _from_hub(file, folder)


def _from_hub(file: str, folder: Path, dry_run: bool = False) -> str | DryRunFileInfo:
    try:
        return hf_hub_download(HUB_REPOSITORY, file, repo_type="dataset", local_dir=folder, dry_run=dry_run)
    except Exception as error:  # the client passes on the errors of the libraries that it uses
        raise InputError(
            f"{file} could not be downloaded from {HUB_REPOSITORY} on the Hugging Face hub "
            f"({str(error).strip().splitlines()[0]}); the same command resumes."
        ) from error


def _require_space(folder: Path, needed: int) -> None:
    advice = "free some space, choose another --out, or download a part with --archives 1,2"
    require_space(folder, needed, "the download", advice)
