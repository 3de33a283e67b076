"""Real masked autoencoders: trained, then measured on the graph of the bound, or judged on pixels.

Networks:

config        TrainConfig: how one model is trained
model         the ViT of MAE and SimMIM
blocks        its transformer blocks and position tables
network       the model as training runs it
stacked       many models as one, on a leading axis
published     checkpoints in the layout of facebookresearch/mae

Data:

data          batches of views, on the device that trains
placed        arrays of the host there, without waiting
pixels        images in bytes on that device
stream        images read as they are needed
readers       where they come from: a folder, a torch dataset
parts         train, validation and test, never mixed
augment       crops and flips
randaugment   RandAugment
regularise    what long fine-tuning does against overfitting
fingerprint   by which a run and a checkpoint know their data

Training:

objective     what is minimised: reconstruction, uniformity, and λ between them
draws         what a step draws, of seed and step alone
streams       of random numbers, each with the number of its use
shares        a batch dealt to processes and parts
group         the processes that train together
state         what changes from step to step, and the step
steps         the loop: step by step to the end, with checkpoints on the way
train         one model: warm-up, cosine, resume
stack         many small models trained at once
train_stack   to the checkpoints that each would have alone
checkpoint    one atomic safetensors file a model
divergence    what is not finite, named
curve         losses and a probe while it runs
footprint     memory and arithmetic of a step, before the first one

On the graph: studies:

measure       losses, alignment, Lipschitz constants and ε over the whole support of a graph
on_graph      a network of one's own on a graph: its outputs for the theorems, its numbers
collapse      RankMe, participation ratio, singular values, image / mask / interaction shares
probes        linear, kNN and few-shot probes on held-out images
plan          what a study does, read from TOML
explain       what there is to say of a graph, a model or a baseline
study         everything of it, in parallel, resumable

On pixels: recipes:

recipe        what a recipe does, read from TOML
experiment    everything of it, beside its nulls
trial         a network or a null of it: trained, watched, judged
judge         what features tell, and how far they have collapsed
readout       features of images, of every block, of several views
linear_probe  ridge, and batch-norm with LARS
finetune      encoder and classifier together
tuning        FineTune: how that is done
tuning_state  what changes from step to step of it, and the step
classifier    the two together, and what they say of images
spectra       every measure of collapse, and what N and D impose
intervals     how far a score can be believed
summary       scores and differences over seeds and images

What both need:

typed         tables of TOML as fields of a dataclass
claim         a directory belongs to one plan
records       JSON on disk, read into one pandas table
schedule      the pieces of a run that are left, and how far they are
workers       jobs in processes of their own
"""
