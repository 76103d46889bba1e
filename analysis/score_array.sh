#!/bin/bash
# One task of an array job of Slurm: its share of the files, into a folder of parts. Submit all tasks again to have
# those parts written that are missing.
#
# sbatch --array=1-40 analysis/score_array.sh @files.txt --model conv --output DIR/
#
#SBATCH --cpus-per-task=1
#SBATCH --mem=2G
#SBATCH --time=04:00:00
export HEPVAE_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
exec hepvae score "$@" --split "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT" --resume
