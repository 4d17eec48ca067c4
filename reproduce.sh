#!/usr/bin/env bash
# The whole study on the real radiographs, every stage in order: download, prepare, five networks, their students
# and the one that all five teach, report. Days on one GPU; several GPUs with GPUS=4; several training seeds with
# SEEDS="0 1 2", whose results the report puts side by side. Run it again after an interruption: finished
# downloads, trainings and tests are not repeated. RETEST=1 repeats the tests. Arguments are settings of the train
# scripts, for example --batch-size 256.
set -euo pipefail
source "$(dirname "$0")/setup.sh"

GPUS=${GPUS:-1}
SEEDS=${SEEDS:-0}
RETEST=${RETEST:+--retest} # without it, a test script skips a test whose results are complete
KD=6-Distilling-to-EEEA-Net-C2

stage() { # folder, train script, test script, checkpoint, results, seed, flags of the training …
  local folder=$1 train=$2 test=$3 checkpoint=$1/$4 results=results/$5 seed=$6 named=() resume=()
  shift 6
  if [ "$seed" != 0 ]; then # seed 0 has the names that the scripts have
    checkpoint=${checkpoint%.pth}-seed$seed.pth results=$results-seed$seed
    named=(--ckpt-path "$checkpoint")
    set -- --seed "$seed" "$@"
  fi
  # An earlier run's snapshot says how far it came; one at its end needs no more.
  if [ -e "${checkpoint%.pth}.last.pth" ]; then resume=(--resume); fi
  local command=(python)
  if [ "$GPUS" -gt 1 ]; then command=(torchrun --nproc_per_node="$GPUS"); fi
  "${command[@]}" "$folder/$train" "${resume[@]}" "${named[@]}" "$@"
  if [ "$seed" != 0 ]; then named+=(--results-dir "$results"); fi
  python "$folder/$test" $RETEST "${named[@]}"
}

python ChestX-ray14/download.py
python ChestX-ray14/prepare.py

for seed in $SEEDS; do
  for folder in 1-EEEA-Net-C2 2-OFA-595 3-CheXNet 4-Visformer-small 5-AutoFormerV2-base; do
    stage "$folder" train-model.py test-model.py "model${folder%%-*}.pth" "$folder" "$seed" "$@"
  done
done
# Every seed of a student has the same teachers, those of seed 0.
for seed in $SEEDS; do
  for kd in 1 2 3 4 5 all; do
    stage $KD "train-kd$kd-model.py" "test-kd$kd-model.py" "modeld$kd.pth" "$KD/kd$kd" "$seed" "$@"
  done
done
python compare-results.py
