#!/usr/bin/env bash
# The whole study on the real radiographs, every stage in order: download, prepare, five networks, their students
# and the one that all five teach, report, export of the best student. Days on one GPU. Run it again after an
# interruption: finished downloads, trainings and tests are not repeated. Arguments are settings of the train
# scripts, for example --batch-size 256.
#   GPUS=4                      several GPUs
#   SEEDS="0 1 2"               several training seeds, whose results the report puts side by side
#   STAGES="1 3" TEACHERS="3"   some networks, and some teachers; TEACHERS="" trains no student
#   SOURCE=FOLDER               radiographs that lie there already: nothing is downloaded
#   HOURS=11                    stop in time on a machine that is lent: exit status 142, and all is saved
#   RETEST=1                    repeat the tests
set -euo pipefail

GPUS=${GPUS:-1}
SEEDS=${SEEDS:-0}
STAGES=${STAGES:-1 2 3 4 5}
TEACHERS=${TEACHERS-1 2 3 4 5 all}
RETEST=${RETEST:+--retest} # without it, a test script skips a test whose results are complete
SOURCE=${SOURCE:-}
OUT_OF_TIME=142 # 128 + SIGALRM, as a training ends at STOP_AFTER_HOURS
KD=6-Distilling-to-EEEA-Net-C2
folders=(0 1-EEEA-Net-C2 2-OFA-595 3-CheXNet 4-Visformer-small 5-AutoFormerV2-base)

require() { # name, values, pattern of each, what is expected
  local value
  for value in $2; do
    if ! [[ $value =~ ^($3)$ ]]; then
      echo "error: $1 = $value, but $4 is expected." >&2
      exit 2
    fi
  done
}
require GPUS "$GPUS" '[1-9][0-9]*' "a number of GPUs"
require SEEDS "$SEEDS" '0|[1-9][0-9]*' 'one seed or several, such as "0 1 2",'
require STAGES "$STAGES" '[1-5]' 'numbers of networks from 1 to 5, such as "1 3",'
require TEACHERS "$TEACHERS" '[1-5]|all' 'numbers of networks from 1 to 5, or all,'
require HOURS "${HOURS:-}" '[0-9]+([.][0-9]+)?' "a number of hours, such as 11 or 1.5,"
case ${1-} in
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$0"
    exit
    ;;
esac
case $SOURCE in
  "" | /*) ;;
  *) SOURCE=$PWD/$SOURCE ;; # setup.sh goes to the repository's folder
esac
source "$(dirname "$0")/setup.sh"

# A wrong setting is refused now, not after a download of 45 GB.
if [ $# -gt 0 ]; then
  python - "$@" <<'CHECK'
import runpy, sys
from cxr14 import errors, script
from cxr14.settings import DistillSettings, TrainSettings
with errors.exit_on_input_error():
    script.read_settings(TrainSettings, runpy.run_path("1-EEEA-Net-C2/train-model.py"), sys.argv[1:])
    script.read_settings(DistillSettings, runpy.run_path("6-Distilling-to-EEEA-Net-C2/train-kd1-model.py"), sys.argv[1:])
CHECK
fi

hours_left() { awk -v hours="$HOURS" -v seconds="$SECONDS" 'BEGIN { print hours - seconds / 3600 }'; }

stop_if_out_of_time() {
  if [ -n "${HOURS:-}" ] && awk -v left="$(hours_left)" 'BEGIN { exit left > 1 / 3600 }'; then
    echo "HOURS = $HOURS are over; run this again to go on."
    exit $OUT_OF_TIME
  fi
}

stage() { # folder, train script, test script, checkpoint, results, seed, flags of the training …
  local folder=$1 train=$2 test=$3 checkpoint=$1/$4 results=results/$5 seed=$6 named=() limit=()
  shift 6
  if [ "$seed" != 0 ]; then # seed 0 has the names that the scripts have
    checkpoint=${checkpoint%.pth}-seed$seed.pth results=$results-seed$seed
    named=(--ckpt-path "$checkpoint")
    set -- --seed "$seed" "$@"
  fi
  stop_if_out_of_time
  if [ -n "${HOURS:-}" ]; then limit=(--stop-after-hours "$(hours_left)"); fi
  local command=(python)
  if [ "$GPUS" -gt 1 ]; then command=(torchrun --nproc_per_node="$GPUS"); fi
  # From the snapshot of an earlier run, if there is one; one at its end needs no more.
  "${command[@]}" "$folder/$train" --resume "${limit[@]}" "${named[@]}" "$@"
  stop_if_out_of_time
  if [ "$seed" != 0 ]; then named+=(--results-dir "$results"); fi
  python "$folder/$test" $RETEST "${named[@]}"
}

if [ -e ChestX-ray14/images/store.csv ] && [ -e ChestX-ray14/prepare-report.csv ]; then
  echo "The radiographs are prepared in ChestX-ray14."
else
  if [ -z "$SOURCE" ]; then python ChestX-ray14/download.py; fi
  python ChestX-ray14/prepare.py ${SOURCE:+--source "$SOURCE"}
fi

for seed in $SEEDS; do
  for number in $STAGES; do
    folder=${folders[number]}
    stage "$folder" train-model.py test-model.py "model$number.pth" "$folder" "$seed" "$@"
  done
done
# Every seed of a student has the same teachers, those of seed 0.
for seed in $SEEDS; do
  for kd in $TEACHERS; do
    stage $KD "train-kd$kd-model.py" "test-kd$kd-model.py" "modeld$kd.pth" "$KD/kd$kd" "$seed" "$@"
  done
done
python compare-results.py
# The best student by its AUROC on validation, as a file for small computers; nothing is uploaded.
if [ -n "$TEACHERS" ]; then
  python 7-Using-EEEA-Net-C2/export-model.py --ckpt-path $KD --results-dir results
fi
