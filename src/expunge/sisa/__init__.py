"""Exact unlearning by shards and slices (SISA): a record is trained on in one place, and its removal retrains from there.

    shards       D = D_1 + ... + D_S,    D_s = D_s1 + ... + D_sR
    training     theta_s0 fresh,    theta_sr = train(theta_s(r-1); D_s1 + ... + D_sr)    for r = 1 ... R, each of them kept
    removal      of a record in D_sr: theta_sr ... theta_sR again, without it

    training = ShardedTraining.from_recipe(recipe, shards=8, slices=4)
    model = training.train(task, Batches(data), engine)
    model = model.without([17], task, engine)

Reference: L. Bourtoule, V. Chandrasekaran, C. Choquette-Choo, H. Jia, A. Travers, B. Zhang, D. Lie, N. Papernot. "Machine
Unlearning", S&P 2021, arXiv 1912.03817.
"""

from expunge.sisa.sharded import ShardedModel, ShardedTraining
from expunge.sisa.shards import Work

__all__ = ["ShardedModel", "ShardedTraining", "Work"]
