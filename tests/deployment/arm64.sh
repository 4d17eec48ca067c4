#!/usr/bin/env bash
# Lay out Debian's Python for 64-bit ARM with ONNX Runtime in a folder, for qemu-user-static; needs no root.
#   bash tests/deployment/arm64.sh FOLDER
# 20 MB from Debian and 31 MB from PyPI; 15 seconds. After it:
#   qemu-aarch64-static -cpu cortex-a72 -L FOLDER/root -E PYTHONPATH=FOLDER/packages FOLDER/root/usr/bin/python3.11
set -euo pipefail
folder=$(realpath -m "$1")
mkdir -p "$folder"/{root,packages,debs,wheels} "$folder"/apt/{lists/partial,archives/partial}
touch "$folder/apt/status"

# apt with lists of its own: the machine's packages and settings stay as they are.
own=(
  -o Dir::State="$folder/apt" -o Dir::State::status="$folder/apt/status" -o Dir::Cache="$folder/apt"
  -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
)
apt-get "${own[@]}" -qq update
cd "$folder/debs"
apt-get "${own[@]}" -qq download python3.11-minimal libpython3.11-minimal libpython3.11-stdlib libc6 libgcc-s1 \
  libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5 libssl3
for package in *.deb; do dpkg-deb --extract "$package" "$folder/root"; done

# The newest ONNX Runtime reads files of the kernel that qemu does not translate, and crashes.
python -m pip download --quiet --disable-pip-version-check --dest "$folder/wheels" --no-deps \
  --only-binary :all: --python-version 3.11 --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
  onnxruntime==1.23.2 numpy==2.4.6
for wheel in "$folder"/wheels/*.whl; do python -m zipfile -e "$wheel" "$folder/packages"; done
