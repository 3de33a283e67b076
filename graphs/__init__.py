"""Images and masks become a graph.

stored        Stored: images in bytes, as they lie on disk: digits, Fashion-MNIST, CIFAR-10, CIFAR-100
folder        Folder: the names and labels of an image folder of the shape of ImageNet; images one at a time
arrays        every check of an array that images are made of
datasets      Images (pixels), CodedImages (codes): those of `stored`, .npz
synthetic     the class-mixture world, whose spectrum is known in closed form
patches       patchify; codebooks: exact, threshold, k-means
masks         mask distributions: uniform, block, grid; enumerated or sampled
views         when are two views the same vertex: positional, sequence, bag
bipartite     MaskGraph: the joint distribution M of visible view and target view
augmentation  AugmentationGraph: A = B Bᵀ, hop = target (shares x2) or image (shares x̄)
"""
