"""The largest eigenvalues of large, sparse, disconnected graphs, each with a bracket.

The search:

components       the connected components of a factor B
union            its compiled union-find
search           the largest eigenvalues over all components, each asked no more than it can bring
dense            small components, many at a time
krylov           one large component, by block Lanczos
lanczos          one run of it, beside known eigenvectors
basis            its orthonormal basis
goal             what is asked of it
eigenpairs       what it answers, or that it did not converge
certificate      upper bounds on eigenvalues that a solver may have missed
entries          what the rounding of B adds to them
frobenius        ‖A‖_F², exactly and in bounded memory
squares          its row sums, by multiplying out

How its products are done, and where:

engine           Engine: arrays and products of a solve
host             the engine of this machine
products         a sparse factor times blocks of dense columns
pair             the factor and its transpose, in tiles
tall             tall matrices times small ones
vectors          cache lines as registers, for these loops
team             threads that share rows
degrees          entries of the rows and columns of a factor
ranks            Ranks: the processes that share a solve
torch_engine     the engine on a GPU
torch_ranks      the processes that torchrun started
torch_group      how they meet
torch_heartbeat  how they notice that one is gone
"""
