"""Real masked autoencoders: trained, then measured on the graph of the bound.

model         the ViT masked autoencoder and its losses
checkpoint    one atomic safetensors file a model
train         the training loop: warm-up, cosine, resume
measure       losses, alignment, Lipschitz constants and ε over the whole support of a graph
collapse      RankMe, participation ratio, singular values, image / mask / interaction shares
probes        linear, kNN and few-shot probes on held-out images
plan          what a study does, read from TOML
records       JSON on disk, read into one pandas table
study         everything, in parallel, resumable
"""
