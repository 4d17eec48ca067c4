#!/usr/bin/env bash
# The whole study in minutes, from a fresh machine: makes synthetic radiographs, trains a teacher (CheXNet) and a
# student (EEEA-Net-C2), teaches the student, tests all three, compares them, and exports the taught student with a
# page that reads radiographs in a browser. Everything it makes is in demo/.
set -euo pipefail
if [ $# -gt 0 ]; then
  echo "error: demo.sh takes no arguments, and got $*; reproduce.sh takes settings of the trainings." >&2
  exit 2
fi
source "$(dirname "$0")/setup.sh"

DEMO=demo # relative: the repository's path may hold spaces
DATA="--data-dir $DEMO/data/images"
LISTS="--train-image-list $DEMO/data/labels/train_list.txt --val-image-list $DEMO/data/labels/val_list.txt"
TEST="$DATA --test-image-list $DEMO/data/labels/test_list.txt --val-image-list $DEMO/data/labels/val_list.txt"
SMALL="--image-size 64 --no-pretrained --batch-size 16 --smallest-crop 0.8"
KD=6-Distilling-to-EEEA-Net-C2

started=$SECONDS
step() { echo; echo "== $1  ($(((SECONDS - started) / 60)) min $(((SECONDS - started) % 60)) s)"; }

step "Synthetic radiographs: 2,750 easy phantoms of 73 px"
python ChestX-ray14/make-phantoms.py --count 2750 --size 73 --difficulty easy --test-fraction 0.27 --out $DEMO/phantoms
python ChestX-ray14/prepare.py --source $DEMO/phantoms --out $DEMO/data --size 73

step "Teacher: CheXNet"
python 3-CheXNet/train-model.py $DATA $LISTS $SMALL --ckpt-path $DEMO/model3.pth --num-epochs 5 --learning-rate 1e-3
python 3-CheXNet/test-model.py $TEST --ckpt-path $DEMO/model3.pth --results-dir $DEMO/results/3-CheXNet

step "Student alone: EEEA-Net-C2"
python 1-EEEA-Net-C2/train-model.py $DATA $LISTS $SMALL --ckpt-path $DEMO/model1.pth --num-epochs 6 --learning-rate 3e-3
python 1-EEEA-Net-C2/test-model.py $TEST --ckpt-path $DEMO/model1.pth --results-dir $DEMO/results/1-EEEA-Net-C2

step "Student taught by CheXNet"
python $KD/train-kd3-model.py $DATA $LISTS $SMALL --ckpt-path $DEMO/modeld3.pth --num-epochs 6 --learning-rate 3e-3 \
  --teacher-ckpt-path $DEMO/model3.pth --student-ckpt-path None
python $KD/test-kd3-model.py $TEST --ckpt-path $DEMO/modeld3.pth --results-dir $DEMO/results/$KD/kd3

step "Comparison"
python compare-results.py --results-dir $DEMO/results

step "Taught student as one file, and as a page for a browser"
# float32: 8-bit weights move the answers of this small and quickly trained network by more than the export allows.
python 7-Using-EEEA-Net-C2/export-model.py --ckpt-path $DEMO/modeld3.pth --results-dir $DEMO/results/$KD/kd3 \
  --data-dir $DEMO/data/images --image-list $DEMO/data/labels/test_list.txt --out-dir $DEMO/export --precision float32
if python 7-Using-EEEA-Net-C2/make-page.py --model-path $DEMO/export/eeea-net-c2.onnx --page $DEMO/eeea-net-c2.html; then
  echo "Open $DEMO/eeea-net-c2.html with a browser and drop radiographs from $DEMO/phantoms/images on it."
else
  echo "All else is done: demo/results/report.html is the report. The same command makes the page later."
fi
