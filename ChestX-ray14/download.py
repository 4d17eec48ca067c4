"""Fetch ChestX-ray14, 112,120 radiographs in twelve archives of 45 GB together, with its table and lists.

    python download.py                  # from the Hugging Face hub
    python download.py --source nih     # the archives from NIH's own links, checked by MD5
    python download.py --archives 1,2   # a part, 14,999 radiographs in 6 GB: enough for a first training

leaves everything in archives/, where prepare.py looks for it; nothing needs to be unpacked. At 20 MB/s it
takes 40 minutes. It can be stopped at any moment; the same command fetches what is missing. The files may
also be brought there by hand: when something cannot be had, it prints from where.
"""

from cxr14 import script
from cxr14.data_settings import DownloadSettings

# Edit these, or override any of them.
SOURCE = "huggingface"
OUT = "archives"
ARCHIVES = "all"

if __name__ == "__main__":
    with script.run(DownloadSettings, globals()) as settings:
        # Imported here because it loads the hub's client, which --help does not need.
        from cxr14.data.download import download

        download(settings)
