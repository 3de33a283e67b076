"""maskgraph: the theory of masked autoencoders, computed and put to the test.

The four rooms, in the direction of their imports (each may use those before it, never those after):

    maskgraph.graphs      images + masks -> codes -> views -> the mask graph M and the augmentation graph A
    maskgraph.theory      a graph -> spectrum, label error, risks, bounds, and checks of an inequality's two sides
    maskgraph.empirical   real MAE and SimMIM in PyTorch, with uniformity or without: train, measure, probe, record
    maskgraph.figures     records -> pictures and the report

For your own tests, `maskgraph.testing`: assert_holds and hypothesis strategies (docs/tutorial.md).
"""

__version__ = "0.1.0"
