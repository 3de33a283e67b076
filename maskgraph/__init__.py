"""maskgraph: the theory of masked autoencoders, computed and put to the test.

The four rooms, in the direction of their imports (each may use those before it, never those after):

    maskgraph.graphs      images + masks -> codes -> views -> the mask graph M and the augmentation graph A
    maskgraph.theory      a graph -> spectrum, label error, risks, bounds, and checks of an inequality's two sides
    maskgraph.empirical   real MAE and SimMIM in PyTorch, with uniformity or without: train, measure, probe, record
    maskgraph.figures     records -> pictures and the report

Six names make a bound, each from the module that it lives in:

    >>> from maskgraph.graphs.source import Source, load_coded
    >>> from maskgraph.graphs.masks import mask_distribution, mask_set
    >>> from maskgraph.graphs.bipartite import mask_graph
    >>> from maskgraph.graphs.augmentation import augmentation_graph
    >>> from maskgraph.theory.spectrum import spectrum
    >>> from maskgraph.theory.answer import answer

    >>> images = load_coded(Source("mixture:n=4,eta=0.2"))  # or Source("digits"), or the path of a .npz or a folder
    >>> masks = mask_set(mask_distribution("uniform", images.grid, mask_ratio=0.5))
    >>> graph = mask_graph(images, masks, view="sequence")
    >>> spectrum(augmentation_graph(graph), 2).values.round(4).tolist()
    [1.0, 0.2803]
    >>> round(answer(graph, mask_ratio=0.5, dim=2)["bounds"]["thm_4_2"], 4)
    0.2304

A bipartite graph of your own: maskgraph.graphs.synthetic.joint_graph. A network: maskgraph.empirical.on_graph. For your
own tests, maskgraph.testing: assert_holds and hypothesis strategies. docs/tutorial.md walks through all of them.
"""

__version__ = "0.1.0"
