"""The curve of a training while it runs: losses, and a probe on images that are not trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from maskgraph.empirical.records import NUMBER, Shape, read_shaped, write_json
from maskgraph.empirical.state import LAM, RECONSTRUCTION, UNIFORMITY
from maskgraph.empirical.train import TrainedModel

POINTS: Shape = [
    {
        **dict.fromkeys(("step", "steps"), int),
        **dict.fromkeys(("epoch", "reconstruction", "uniformity", "lam", "knn"), NUMBER),
    }
]
"""What the file of a curve holds."""


class Curve:
    """Points of a training in a JSON file, and where TensorBoard is installed in its event files too.

    Each point holds `step` of `steps`, `epoch`, the mean `reconstruction`, `uniformity` and `lam` since the point
    before, and what the probe says.
    """

    def __init__(self, path: Path, events: Path) -> None:
        """Take up the points that are there.

        Args:
            path: the JSON file.
            events: folder of TensorBoard's files.

        Raises:
            InputError: a file that holds something else.
        """
        self.path = path
        self.points = read_points(path) if path.exists() else []
        self._events = events
        self._writer: Any = None

    def __contains__(self, step: int) -> bool:
        """Whether the last point is of this step."""
        return bool(self.points) and self.points[-1]["step"] == step

    def add(self, trained: TrainedModel, epoch: float, steps: int, probed: dict[str, float]) -> None:
        """Add a point; points from here on, of a run that was cut off after them, are dropped.

        Args:
            trained: as far as it is.
            epoch: how many passes over the images that is.
            steps: how many steps there will be.
            probed: scores by name.
        """
        step = len(trained.losses)
        self.points = [point for point in self.points if point["step"] < step]
        mean = trained.losses[self.points[-1]["step"] if self.points else 0 :].mean(axis=0)
        columns = {"reconstruction": RECONSTRUCTION, "uniformity": UNIFORMITY, "lam": LAM}
        losses = {name: float(mean[column]) for name, column in columns.items()}
        self.points.append({"step": step, "steps": steps, "epoch": epoch, **losses, **probed})
        write_json(self.path, self.points)
        self._tell(step, {**losses, **probed})

    def close(self) -> None:
        """Finish TensorBoard's files."""
        if self._writer is not None:
            self._writer.close()

    def _tell(self, step: int, scalars: dict[str, float]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            return
        if self._writer is None:
            # Of a run that goes on from a checkpoint TensorBoard forgets what came after it.
            self._writer = SummaryWriter(str(self._events), purge_step=step)
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()


def read_points(path: Path) -> list[dict[str, Any]]:
    """The points of a curve.

    Raises:
        InputError: a file that is missing, or holds something else.
    """
    points: list[dict[str, Any]] = read_shaped(path, POINTS)
    return points


def last_step(path: Path) -> tuple[int, int]:
    """The step of a curve's last point and how many there will be; (0, 0) where there is no curve yet."""
    points = read_points(path) if path.exists() else []
    return (points[-1]["step"], points[-1]["steps"]) if points else (0, 0)
