"""Images and masks become a graph.

datasets      Images (pixels), CodedImages (codes): digits, Fashion-MNIST, .npz
synthetic     the class-mixture world, whose spectrum is known in closed form
patches       patchify; codebooks: exact, threshold, k-means
masks         mask distributions: uniform, block, grid; enumerated or sampled
views         when are two views the same vertex: positional, sequence, bag
bipartite     MaskGraph: the joint distribution M of visible view and target view
augmentation  AugmentationGraph: A = B Bᵀ, hop = target (shares x2) or image (shares x̄)
"""
