"""Images and masks become a graph.

Images:

stored        Stored: images in bytes, as they lie on disk: digits, Fashion-MNIST, CIFAR-10, CIFAR-100
cifar         the official archives of CIFAR, read
idx           the files of MNIST and its kin, read
npz           arrays of a .npz, none of them pickled
folder        Folder: the names and labels of an image folder of the shape of ImageNet; images one at a time
arrays        every check of an array that images are made of
datasets      Images (pixels), CodedImages (codes): those of `stored`, .npz
patches       patchify; codebooks: exact, threshold, k-means
rows          distinct rows, in lexical order
source        from what a user names to coded images
synthetic     the class-mixture world, whose spectrum is known in closed form

Masks and views:

masks         mask distributions: uniform, block, grid; enumerated or sampled
views         when are two views the same vertex: positional, sequence, bag

Counting:

edges         Edges: one an image and mask, in blocks
keys          exact keys of their views
counting      Counts of views and pairs, where they lie
kernels       its compiled loops that rank views
summaries     those that count what is seen of them
sorting       64-bit words by numpy's sort or by digits, whichever is faster here
merging       counts of disjoint edges, added up
distributed   counting by the workers of a dask scheduler

Graphs:

bipartite     MaskGraph: the joint distribution M of visible view and target view
classes       Classes: the classes of its views
augmentation  AugmentationGraph: A = B Bᵀ, hop = target (shares x2) or image (shares x̄)

What all of it needs:

errors        InputError: input that a user can mend; what is said of a name that is none
seeds         seeds that everything that draws can take
memory        what does not fit is refused before it is tried
machine       how many cores there are
compiled      how a loop is compiled
"""
