# Sourced by the other scripts: makes .venv and installs the pinned packages, once and again when the pins change.
# VENV=FOLDER puts the environment there instead.
cd "$(dirname "${BASH_SOURCE[0]}")"

# torch's wheels for the pinned release are built for these.
for python in python3.11 python3.12 python3; do
  if "$python" -c 'import sys; sys.exit(sys.version_info[:2] not in ((3, 11), (3, 12)))' 2>/dev/null; then break; fi
  python=""
done
if [ -z "$python" ]; then
  echo "error: Python 3.11 or 3.12 is needed; install one of them and run this again." >&2
  return 2 2>/dev/null || exit 2 # `source setup.sh` leaves the terminal open
fi

VENV=${VENV:-.venv}
if ! cmp -s requirements.txt "$VENV/installed.txt"; then
  echo "Installing into $VENV (a few minutes, 5 GB with torch's GPU libraries) …"
  if ! { "$python" -m venv "$VENV" &&
    "$VENV/bin/python" -m pip install --disable-pip-version-check -r requirements.txt &&
    cp requirements.txt "$VENV/installed.txt"; }; then
    echo "error: the packages are not installed in $VENV, for the reason above; run this again once it is removed," \
      "or with VENV=FOLDER, another place." >&2
    return 2 2>/dev/null || exit 2
  fi
fi
source "$VENV/bin/activate"
