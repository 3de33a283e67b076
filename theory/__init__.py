"""A graph becomes numbers, and theorems are held to their two sides.

Numbers of one graph:

spectrum         the top k eigenvalues of A with multiplicity, ‖A‖_F², head and tail sums with an interval
solver           how it finds them
certify          the same interval for vectors of any other solver
labels           α, φ, intra- and inter-class edge mass
unseen           Good–Turing: what a fresh image or mask would show that the graph lacks
risk             Floors: Bayes risk, Var(x2), the rank-k floor: what no model goes below
bounds           every bound, one function each
answer           all of it for one graph: the object that `maskgraph bound --json` prints
bootstrap        intervals over images of what answer says
draws            its spread over seeds, which draw other masks, codebooks and images
closed_form      the class mixture, whose spectrum and α are known at any size
dimension        K, checked
rounding         that of float64

Statements about a model:

outputs          Outputs: what the theorems see of a model
losses           L_MAE, L_align, L_unif, L_SCL of any outputs on the whole graph
lipschitz        the Lipschitz constants of Thm 4.2
pairs            the loops over positive pairs, compiled
terms            every quantity that a statement speaks of
terms_graph      those of the graph alone
terms_outputs    those of a model's outputs
assumptions      what statements ask of a graph and a model, measured
statement        Statement: formula, assumptions, the chain of its proof
statements       all of them
check            Check: a statement held, with its sides, steps, slack and verdict
ledger           every statement held to one model
small_worlds     graphs of a few views
falsify          search them for models that break a statement
traced           the terms with a gradient, for that search
counterexamples  what breaks when an assumption is dropped

What graphs are found to be like:

findings         one module for a few findings each
"""
