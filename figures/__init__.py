"""Records become pictures and a page; nothing is computed here but means and spreads of what was recorded.

style          colours, names and sizes common to all figures
curve          bound against accuracy over the mask ratio, label error beneath
bounds         what `maskgraph bound` says, over the mask ratio
spectrum       the eigenvalues of every graph
world          the augmentation graph of a small world, classes coloured
waterfall      where the slack of a bound goes, step by step
report         all figures of a run and report.html
recipe         how a recipe's networks learned, what reads their features, how they collapsed
recipe_report  all of these and its page
findings       the structural findings, a page each
"""
