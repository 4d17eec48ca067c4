# Sourced by the sbatch files: the environment, and a step that outlives the job's time limit.
cd "${SLURM_SUBMIT_DIR:?submit this file with sbatch}"
source setup.sh

step() { # options and command of srun
  local status=0
  srun "$@" || status=$?
  if [ "$status" -eq $((128 + $(kill -l USR1))) ]; then
    echo "The time limit is near; job $SLURM_JOB_ID queues itself again."
    scontrol requeue "$SLURM_JOB_ID"
    sleep 600 # Slurm ends this script; what follows the step must not run
  fi
  return "$status"
}
