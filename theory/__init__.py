"""A graph becomes numbers, and theorems are held to their two sides.

components    the connected components of a factor B
certificate   upper bounds on eigenvalues that a solver may have missed
spectrum      the top k eigenvalues of A with multiplicity, ‖A‖_F², head and tail sums with an interval
labels        α, φ, intra- and inter-class edge mass, coverage
risk          Bayes risk, Var(x2), the rank-k floor: what no model goes below
losses        L_MAE, L_align, L_unif, L_SCL of any outputs on the whole graph, and the identities between them
lipschitz     the one-sided Lipschitz constant over positive pairs
bounds        every bound, one function each
closed_form   the class mixture, whose spectrum and α are known at any size
answer        all of it for one graph: the object that `maskgraph bound --json` prints
check         Check: a statement's two sides, slack and verdict
ledger        Theorems 3.4, 3.6, 4.1, 4.2 held to a model's outputs
"""
