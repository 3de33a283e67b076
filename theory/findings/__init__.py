"""What graphs are found to be like, each finding with a page of its own.

finding          Finding: what one is
register         all of them, by name
views            masks in the head of the spectrum; readouts of it
spectrum         ρ against 1 − ρ; the head against the tail
labels           φ and inter-class mass over ρ
image_hop        connectivity over ρ
features         uniformity as a rank
samples          convergence with images and masks
sample_errors    its errors and rates
bootstrap        what bootstrap intervals hold
mixture_samples  many samples of the class mixture at once, for the last two
"""
