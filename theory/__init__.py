"""A graph becomes numbers, and theorems are held to their two sides.

The spectrum:

spectrum            the top k eigenvalues of A with multiplicity, ‖A‖_F², head and tail sums with an interval
components          the connected components of a factor B
union               its compiled union-find
search              the largest eigenvalues over all components, each asked no more than it can bring
dense               small components, many at a time
krylov              one large component, by block Lanczos
lanczos             one run of it, beside known eigenvectors
basis               its orthonormal basis
goal                what is asked of it
certificate         upper bounds on eigenvalues that a solver may have missed
certify             the same for vectors of any other solver
frobenius           ‖A‖_F², exactly and in bounded memory
squares             its row sums, by multiplying out

How its products are done, and where:

engine              Engine: arrays and products of a solve; Host: this machine
products            a sparse factor times blocks of dense columns
pair                the factor and its transpose, in tiles
tall                tall matrices times small ones
vectors             cache lines as registers, for these loops
team                threads that share rows
degrees             entries of the rows and columns of a factor
ranks               Ranks: the processes that share a solve
torch_engine        the engine on a GPU
torch_ranks         the processes that torchrun started
torch_group         how they meet
torch_heartbeat     how they notice that one is gone

Numbers of one graph:

labels              α, φ, intra- and inter-class edge mass
unseen              Good–Turing: what a fresh image or mask would show that the graph lacks
risk                Floors: Bayes risk, Var(x2), the rank-k floor: what no model goes below
bounds              every bound, one function each
answer              all of it for one graph: the object that `maskgraph bound --json` prints
bootstrap           intervals over images of what answer says
closed_form         the class mixture, whose spectrum and α are known at any size
dimension           K, checked
rounding            that of float64

Statements about a model:

outputs             Outputs: what the theorems see of a model
losses              L_MAE, L_align, L_unif, L_SCL of any outputs on the whole graph
lipschitz           the Lipschitz constants of Thm 4.2
terms               every quantity that a statement speaks of
terms_graph         those of the graph alone
terms_outputs       those of a model's outputs
assumptions         what statements ask of a graph and a model, measured
statement           Statement: formula, assumptions, the chain of its proof
statements          all of them
check               Check: a statement held, with its sides, steps, slack and verdict
ledger              every statement held to one model
small_worlds        graphs of a few views
falsify             search them for models that break a statement
traced              the terms with a gradient, for that search
counterexamples     what breaks when an assumption is dropped

Findings: what graphs are found to be like:

finding             Finding: what one is
findings            all of them
findings_views      masks in the head of the spectrum; readouts of it
findings_spectrum   ρ against 1 − ρ; the head against the tail
findings_labels     φ and inter-class mass over ρ
findings_image_hop  connectivity over ρ
findings_features   uniformity as a rank
findings_samples    convergence with images and masks
sample_errors       its errors and rates
findings_bootstrap  what bootstrap intervals hold
mixture_samples     many samples of the class mixture at once, for the last two
"""
