"""A graph becomes numbers, and theorems are held to their two sides.

components    the connected components of a factor B
certificate   upper bounds on eigenvalues that a solver may have missed
spectrum      the top k eigenvalues of A with multiplicity, ‖A‖_F², head and tail sums with an interval
labels        α, φ, intra- and inter-class edge mass
unseen        Good–Turing: what a fresh image or mask would show that the graph lacks
risk          Bayes risk, Var(x2), the rank-k floor: what no model goes below
losses        L_MAE, L_align, L_unif, L_SCL of any outputs on the whole graph, and the identities between them
lipschitz     the Lipschitz constants of Thm 4.2
bounds        every bound, one function each
closed_form   the class mixture, whose spectrum and α are known at any size
answer        all of it for one graph: the object that `maskgraph bound --json` prints
bootstrap     intervals over images of what answer says
outputs       what the theorems see of a model
terms         every quantity that a statement speaks of (terms_graph, terms_outputs: those of its parts)
assumptions   what statements ask of a graph and a model, measured
statement     Statement: formula, assumptions, the chain of its proof
statements    all of them
check         Check: a statement held, with its sides, steps, slack and verdict
ledger        every statement held to one model
small_worlds  graphs of a few views
falsify       search them for models that break a statement (traced: its terms with a gradient)
counterexamples  what breaks when an assumption is dropped
findings      what graphs are found to be like (finding: what one is)
findings_views     masks in the head of the spectrum; readouts of it
findings_spectrum  ρ against 1 − ρ; the head against the tail
findings_labels    φ and inter-class mass over ρ
findings_image_hop connectivity over ρ
findings_features  uniformity as a rank
findings_samples   convergence with images and masks, from sample_errors
findings_bootstrap what bootstrap intervals hold
mixture_samples    many samples of the class mixture at once, for the last two
"""
