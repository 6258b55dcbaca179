#!/bin/bash
# One run on several nodes of a SLURM cluster, one process per GPU.
#     sbatch slurm_train.sh --data cifar10 --sparse --fix ...
# What follows the script's name are flags of `rarefy train`. Before the time is over, or the machines are taken away,
# SLURM sends SIGUSR1: the run saves and ends with exit code 130, and the job is put back into the queue. It goes on
# where it was, also with another number of processes.
#SBATCH --job-name=rarefy
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=rarefy-%j.txt

MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
MASTER_PORT=$((20000 + SLURM_JOB_ID % 10000))
export MASTER_ADDR MASTER_PORT OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"

# Each task is one rank; if one is killed the others end by themselves, and so does the step.
# shellcheck disable=SC2016  # SLURM's variables are those of each task
srun --kill-on-bad-exit=1 bash -c '
  export RANK="$SLURM_PROCID" LOCAL_RANK="$SLURM_LOCALID" WORLD_SIZE="$SLURM_NTASKS"
  exec python -m rarefy train "$@"
' rank "$@"
code=$?

if [ "$code" -eq 130 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
