"""For all tests: one thread, since tiny models only lose by more, and results that don't depend on the machine's cores."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of numpy and scikit-learn too, and of processes that tests start

import torch

torch.set_num_threads(1)
