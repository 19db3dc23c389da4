"""For all tests: one thread, since tiny models only lose by more, and results that don't depend on the machine's cores."""

import torch

torch.set_num_threads(1)
