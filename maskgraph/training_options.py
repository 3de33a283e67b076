"""The command line of training: train, study, recipe, report."""

from __future__ import annotations

import argparse

from maskgraph.options import Parser, add_data, add_graph, add_run, command, path, ratio, whole

MODULE = "maskgraph.training_commands"


def _number_or_auto(text: str) -> float | str:
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}; expected a number or auto") from None


def train(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph train`."""
    parser = command(
        commands,
        MODULE,
        "train",
        "train MAE, U-MAE, SimMIM or U-SimMIM, measure it on its graph, probe it",
        """\
Train a ViT masked autoencoder, measure every loss on the graph of its mask ratio, probe its features on held-out
images, and hold the theorems to it. Killed or interrupted, it goes on where it was with --resume.

  maskgraph train digits --method u-mae --mask-ratio 0.75
  maskgraph train fashion-mnist --method mae --mask-ratio 0.75 --size tiny --patch 4 --epochs 20 --device auto

Then:  maskgraph verify RUN   and   maskgraph report RUN""",
    )
    add_data(parser)
    add_graph(parser, max_masks=64)
    # What is not given is left to TrainConfig, which cannot be asked here: it takes torch to import.
    parser.add_argument("--method", metavar="METHOD", help="mae (default), u-mae, simmim or u-simmim")
    parser.add_argument(
        "--mask-ratio",
        type=ratio,
        nargs="+",
        required=True,
        metavar="R",
        help="share of patches masked; one model for each",
    )
    parser.add_argument("--seeds", type=whole, default=1, metavar="N", help="models for each ratio, seeds 0 to N-1 (1)")
    parser.add_argument(
        "--stack", type=whole, metavar="N", help="most models of a ratio to train at once, for small ones (1)"
    )
    parser.add_argument("--size", metavar="SIZE", help="micro (default), tiny, base or large")
    parser.add_argument("--epochs", type=whole, metavar="N", help="passes over the training images (50)")
    parser.add_argument("--batch", type=whole, metavar="N", help="images a step (32)")
    parser.add_argument("--lr", type=float, metavar="LR", help="peak learning rate of AdamW (1e-3)")
    parser.add_argument(
        "--accumulate", type=whole, metavar="N", help="parts that a step's images are run in, for memory (1)"
    )
    parser.add_argument("--decoder-dim", type=whole, metavar="D", help="width of MAE's decoder (the size's own)")
    parser.add_argument("--decoder-depth", type=whole, metavar="N", help="blocks of MAE's decoder (the size's own)")
    parser.add_argument(
        "--bottleneck",
        type=whole,
        metavar="K",
        help="let the decoder see one unit vector of dimension K and no token, as the theorems have it (none)",
    )
    parser.add_argument("--target", metavar="T", help="pixels (default), or normalised: patch by patch")
    parser.add_argument("--distance", metavar="E", help="squared, absolute, or auto (default): the method's own")
    parser.add_argument(
        "--lambda",
        dest="lam",
        type=_number_or_auto,
        metavar="LAMBDA",
        help="weight of the uniformity loss of u-mae and u-simmim (0.01, the paper's); auto: 1/(4Ld) of d target "
        "values, L measured as training goes on",
    )
    parser.add_argument(
        "--feature",
        metavar="F",
        help="feature that is made uniform: cls (default), mean, tokens (all that the decoder reads) or bottleneck",
    )
    parser.add_argument(
        "--final-norm", metavar="N", help="once (default), or twice as the reference code of U-MAE does"
    )
    parser.add_argument(
        "--no-diagonal",
        dest="diagonal",
        action="store_false",
        default=None,
        help="do not pair an image with itself in the uniformity loss; the reference code of U-MAE does",
    )
    parser.add_argument("--queue", type=whole, metavar="N", help="features of earlier batches as further negatives (0)")
    parser.add_argument("--device", metavar="D", help="auto (default), cpu or cuda")
    parser.add_argument("--precision", metavar="P", help="auto (default: bf16 on CUDA), fp32 or bf16")
    add_compile(parser)
    add_run(parser, "runs/DATASET-METHOD", "seeds and mask ratios")


def add_compile(parser: argparse.ArgumentParser) -> None:
    """Whether torch.compile makes the code of the blocks."""
    parser.add_argument(
        "--compile",
        action="store_true",
        default=None,
        help="have torch.compile make the code of the blocks: a minute or so at first, then fewer passes over memory",
    )


def study(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph study`."""
    parser = command(
        commands,
        MODULE,
        "study",
        "a whole sweep: bounds, training, measurement, figures, report",
        """\
Run a study described in TOML: bound every graph, train every method at every mask ratio and seed, measure and probe
each model, draw the figures, write report.html. Interrupted, it goes on where it was with --resume.

  maskgraph study studies/digits.toml

A study is a file of three tables, of which only dataset is required:

  [data]   dataset, patch, codebook, codes, images, data_dir, seed, image_size, held_out
  [graph]  mask_ratios, views, hops, mask, mask_unit, max_masks, draws
  [train]  methods, seeds, stack, view, size, decoder_dim, decoder_depth, relative_positions, layer_scale,
           bottleneck, target, distance, feature, final_norm, diagonal, queue, lam, epochs, batch,
           accumulate, lr, weight_decay, warmup, lr_drop, drop_path, beta2, clip, device, precision, compile

docs/studies.md says what each is and its default. What is read of a .npz and of a folder: maskgraph train --help.""",
    )
    parser.add_argument("study", type=path, metavar="STUDY.toml", help="the study")
    add_run(parser, "runs/STUDY", "seeds, methods, mask ratios, views and hops")


def recipe(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph recipe`."""
    parser = command(
        commands,
        MODULE,
        "recipe",
        "real networks on the pixels of a dataset, trained and judged as published",
        """\
Train every method of a recipe with every seed, and judge each network on test images: linear probes, nearest
neighbours, few-shot, fine-tuning, layer by layer, and every measure of collapse, each with its interval and beside
what pixels, random networks and features of nothing score. Interrupted, it goes on where it was with --resume.

  maskgraph recipe                                        the recipes that come along, what they are and cost
  maskgraph recipe digits                                 about twenty CPU-minutes
  maskgraph recipe mine.toml --data-dir /data/imagenet    your own: [data], [train], [judge], see docs/recipes.md
  torchrun --nproc-per-node 8 -m maskgraph recipe imagenet1k-base --data-dir /data/imagenet

A folder of images holds train/CLASS/ and val/CLASS/; its recipe says dataset = "folder" and image_size = S. Images of
S x S pixels are judged as they are; of others the shorter side is resized to S*256/224 (S beyond 224) and the middle
cut out. All have three channels; transparency is dropped.""",
    )
    parser.add_argument("recipe", nargs="?", metavar="NAME|FILE.toml", help="the recipe; none: list them")
    parser.add_argument(
        "--data-dir", type=path, metavar="DIR", help="where the dataset's files lie, or the folder of images"
    )
    parser.add_argument(
        "--methods", nargs="+", metavar="M", help="some of mae, u-mae, simmim, u-simmim (the recipe's own)"
    )
    parser.add_argument("--seeds", type=whole, metavar="N", help="networks of each method (the recipe's own)")
    parser.add_argument("--device", metavar="D", help="auto, cpu or cuda (the recipe's own, auto)")
    parser.add_argument("--precision", metavar="P", help="auto, fp32 or bf16 (the recipe's own, auto)")
    add_compile(parser)
    parser.add_argument(
        "--accumulate", type=whole, metavar="N", help="parts that a step's images are run in, for memory (1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add_run(parser, "runs/recipe-NAME", "seeds and methods")


def report(commands: argparse._SubParsersAction[Parser]) -> None:
    """`maskgraph report`."""
    parser = command(
        commands,
        MODULE,
        "report",
        "figures and report.html from a run's records",
        "Draw the figures of a run and write its report.html; nothing is computed anew.\n\n"
        "  maskgraph report runs/digits",
    )
    parser.add_argument("run", type=path, metavar="RUN_DIR", help="directory of a train, study or recipe")
