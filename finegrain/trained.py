"""Trained models by the directories they lie in, with what their runs found out about their confidence."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from finegrain.data.transforms import Views
from finegrain.errors import CheckpointError, ConfigError, fault
from finegrain.judgement import best_folder
from finegrain.metrics.fitted import Fitted
from finegrain.models.classifier import Classifier
from finegrain.models.weights import CONFIG_NAME, load_folder, read_folder
from finegrain.runtime import Runtime
from finegrain.storage import RunDirectory

_METRICS = "metrics.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Confidence:
    """What is known of a model's confidence."""

    views: Views = "plain"
    """What its run looked at of an image."""
    fitted: Fitted | None = None
    reason: str = ""
    """Why nothing is fitted, where that is so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A trained model on the disk; nothing in its directory is run or changed."""

    path: Path
    """As it was named: the directory of a run, or a folder in timm's hub layout."""
    folder: Path
    """Holds its weights."""
    class_names: tuple[str, ...]
    confidence: Confidence

    def load(self, runtime: Runtime, *, trust: bool) -> Classifier:
        """The model on its device; raises WeightsError where it is damaged."""
        model, _ = load_folder(self.folder, trust=trust)
        runtime.place_model(model)
        return model


def find_models(paths: Sequence[Path]) -> list[Trained]:
    """The models that lie at `paths`, of the same classes in the same order.

    Raises:
        CheckpointError: A path holds no model or a damaged one, or the classes differ.
        WeightsError: A folder's description is damaged.
    """
    found = [_find(path) for path in paths]
    first = found[0].class_names
    for other in found[1:]:
        if other.class_names != first:
            pairs = zip(first, other.class_names, strict=False)
            place = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(first), len(other.class_names)))
            expected, got = ((*names, "none")[place] for names in (first, other.class_names))
            raise CheckpointError(
                fault(
                    f"the classes of {other.path} and of {found[0].path} differ first at number {place}",
                    got=got,
                    expected=expected,
                    remedy="name models of the same classes in the same order",
                )
            )
    return found


def calibration(models: Sequence[Trained], *, views: Views | None) -> tuple[Fitted | None, str]:
    """What val taught of the confidence in what `models` say together, and that in a sentence.

    Args:
        models: One or more.
        views: What their predictions are averages over; None: what each was judged with.
    """
    known = models[0].confidence
    fitted, reason = known.fitted, known.reason
    if len(models) > 1:
        fitted, reason = None, "what several models say together was not judged on val"
    elif fitted and views not in (None, known.views):
        fitted, reason = None, f"val was judged with views={known.views}"
    if fitted is None:
        return None, f"Nothing is calibrated: {reason}."
    return fitted, (
        f"Calibrated by a temperature of {fitted.temperature:.3g}, fitted on {fitted.val_images:,} val images; "
        "threshold and sets are of the probabilities before."
    )


def _find(path: Path) -> Trained:
    if (path / CONFIG_NAME).is_file():
        folder, confidence = path, Confidence(reason="a model folder says nothing of val")
    elif (path / "checkpoints").is_dir():
        folder = best_folder(RunDirectory(path, resume=True))
        if not (folder / CONFIG_NAME).is_file():
            expected, remedy = "a classifier", "name the --out of a train by main.py"
            raise CheckpointError(
                fault(f"{path} holds no model", got="a run that kept none", expected=expected, remedy=remedy)
            )
        confidence = _confidence(path / _METRICS, checkpoint=folder.name)
    else:
        got = f"neither checkpoints nor {CONFIG_NAME}" if path.is_dir() else "no such directory"
        expected, remedy = "the --out of a train, or a folder in timm's hub layout", "name another directory"
        raise CheckpointError(fault(f"{path} holds no model", got=got, expected=expected, remedy=remedy))
    content = read_folder(folder)
    if content.base is not None:
        expected, remedy = "a whole network", "name its run, or the folder around it"
        raise CheckpointError(fault(f"{path} holds no model", got="an adapter", expected=expected, remedy=remedy))
    return Trained(path=path, folder=folder, class_names=content.class_names, confidence=confidence)


def _confidence(file: Path, *, checkpoint: str) -> Confidence:
    """What a run's report says of the model in the folder `checkpoint`."""
    if not file.exists():
        return Confidence(reason="the run was not judged yet")
    try:
        content = json.loads(file.read_bytes())
        if content.get("checkpoint") != checkpoint:
            return Confidence(reason=f"{file} does not say that it is of {checkpoint}: evaluate the run again")
        if content["views"] not in get_args(Views):
            raise ValueError(f"views {content['views']}")
        fitted = Fitted.read(content["calibration"])
        before, after = (content["calibration"]["test"][when]["loss"] for when in ("before", "after"))
        if after is None or (before is not None and after > before):
            reason = f"the temperature fitted on {fitted.val_images:,} val images made test worse, as the report says"
            return Confidence(views=content["views"], reason=reason)
        return Confidence(views=content["views"], fitted=fitted)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        got, expected = f"{type(error).__name__}: {error}", "the file as the run wrote it"
        raise CheckpointError(
            fault(f"{file} is damaged", got=got, expected=expected, remedy="evaluate the run again")
        ) from error
