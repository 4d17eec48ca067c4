#!/usr/bin/env bash
# The whole study on the real radiographs, every stage in order: download, prepare, five networks, five students,
# report. Days on one GPU; several GPUs with GPUS=4. Run it again after an interruption: finished downloads,
# trainings and tests are not repeated. RETEST=1 repeats the tests. Arguments are settings of the train scripts,
# for example --batch-size 256.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

GPUS=${GPUS:-1}
RETEST=${RETEST:+--retest} # without it, a test script skips a test whose results are complete
KD=6-Distilling-to-EEEA-Net-C2

train() { # folder, script, checkpoint, flags …
  local folder=$1 script=$2 checkpoint=$3
  shift 3
  local resume="" # an earlier run's snapshot says how far it came; one at its end needs no more
  if [ -e "$folder/${checkpoint%.pth}.last.pth" ]; then resume=--resume; fi
  if [ "$GPUS" -gt 1 ]; then
    torchrun --nproc_per_node="$GPUS" "$folder/$script" $resume "$@"
  else
    python "$folder/$script" $resume "$@"
  fi
}

python ChestX-ray14/download.py
python ChestX-ray14/prepare.py

for folder in 1-EEEA-Net-C2 2-OFA-595 3-CheXNet 4-Visformer-small 5-AutoFormerV2-base; do
  train "$folder" train-model.py "model${folder%%-*}.pth" "$@"
  python "$folder/test-model.py" $RETEST
done
for teacher in 1 2 3 4 5; do
  train $KD "train-kd$teacher-model.py" "modeld$teacher.pth" "$@"
  python "$KD/test-kd$teacher-model.py" $RETEST
done
python compare-results.py
