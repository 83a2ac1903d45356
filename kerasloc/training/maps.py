"""Training of networks of maps: PYLON and its comparisons, and HAM.

Reference:
    Preechakul, Sriswasdi, Kijsirikul, Chuangsuwanich: Improved image classification
    explainability with high-accuracy heatmaps, iScience 25(3), 2022.
    Ouyang et al., Learning hierarchical attention for weakly-supervised chest X-ray
    abnormality localization and diagnosis, IEEE TMI 40(10), 2021.
"""

import dataclasses
import logging
import pathlib
from typing import Any

import keras
import numpy as np
from scipy.special import expit

from kerasloc.backbones import resnet
from kerasloc.cams.graph import producer
from kerasloc.configs import NetworkConfig
from kerasloc.data.decode import box_masks
from kerasloc.data.table import Table
from kerasloc.metrics import best_thresholds
from kerasloc.runs import read_network, weights_of_run
from kerasloc.training import compiling
from kerasloc.training.callbacks import KeepBest, Maps, ReduceLROnPlateau
from kerasloc.training.compiling import Feed, make_feed
from kerasloc.training.configs import SELECTIONS, MapTraining
from kerasloc.training.objectives import compile_ham, ham_target
from kerasloc.training.streaming_metrics import MultiLabelAUROC
from kerasloc.training.trainer import FitConfig, Trainer
from kerasloc.weights import assign, load_imagenet, load_torch, read_arrays

logger = logging.getLogger(__name__)

IMAGENET = "imagenet"


class MapTrainer(Trainer):
    """A network trained on labels; the best by validation loss is kept.

    The thresholds that are best on validation end up in the run's configuration.
    """

    def start(self, model: keras.Model) -> None:
        """Load the weights of ``config.start``."""
        load_start(model, self.network, self.config.start)

    def compile(self, model: keras.Model, count: int) -> keras.Model:
        """Return the model of the logits, compiled."""
        return compile_maps(model, self.network, self.config, self.strategy)

    def fit_config(self, model: keras.Model, feed: Feed) -> FitConfig:
        """Return the settings of the fit."""
        config, logs = self.config, self.logs(self.run, model, feed)
        fall = {"factor": config.factor, "patience": config.patience}
        decay = [ReduceLROnPlateau("val_loss", **fall)]
        ends = (config.epochs, "val_loss", "min")
        return FitConfig(*ends, decay, logs, config.stop_rate)

    def maps(self, model: keras.Model, batch: Maps) -> Maps:
        """Return the maps of the classes."""
        # predict_on_batch would predict once for every replica of a strategy
        outputs = model(batch["image"], training=False)
        maps = keras.ops.convert_to_numpy(outputs["maps"])
        return {"maps": maps[np.arange(len(maps)), :, :, batch["classes"]]}

    def finish(self, model: keras.Model, feed: Feed) -> None:
        """Load the best weights and write the thresholds that fit them."""
        best = weights_of_run(self.run.folder)
        assign(model, read_arrays(best), source=str(best))
        self.run.set_thresholds(tuned_thresholds(model, feed))


class HamTrainer(MapTrainer):
    """A network trained on labels, and on the boxes that training images have.

    The best by ``config.select`` on validation is best.weights.h5; where validation
    images have boxes, those by AUROC, TIoU and TIoR are best-auroc, best-tiou and
    best-tior.weights.h5.
    """

    def feed(self, model: keras.Model) -> Feed:
        """Return tables, pipelines, targets and sampling weights of the objective.

        Raises:
            ValueError: If ``select`` needs boxes that validation images lack.
        """
        config, network = self.config, self.network
        if config.select != "auroc" and not self._has_boxes("val"):
            raise ValueError(
                f"Expected validation images with boxes for select={config.select!r}. "
                "Received: none. Give --select auroc."
            )
        tables = {**self.tables, "train": self._masked(self.tables["train"])}
        feed = make_feed(tables, network, config, self.augment)
        train, val = feed.train_config, feed.val_config
        boxes = np.asarray(feed.train.boxes)
        boxed = np.isin(np.arange(len(feed.train)), boxes[:, 0])
        logger.info("%d of %d training images have boxes", boxed.sum(), len(boxed))
        weights = np.where(boxed, config.annotated_weight, 1.0)
        return dataclasses.replace(
            feed,
            train_config=dataclasses.replace(train, fields=self._fields("train")),
            val_config=dataclasses.replace(val, fields=self._fields("val")),
            target=ham_target(network.num_classes, network.im_size),
            weights=None if config.annotated_weight == 1 else weights,
        )

    def compile(self, model: keras.Model, count: int) -> keras.Model:
        """Return the network with its objective, compiled."""
        return compile_ham(model, self.config, count, self.strategy)

    def fit_config(self, model: keras.Model, feed: Feed) -> FitConfig:
        """Return the settings of the fit."""
        names = SELECTIONS if self._has_boxes("val") else ()
        keep = [KeepBest(self.run, model, f"best-{n}", f"val_{n}") for n in names]
        monitor, logs = f"val_{self.config.select}", self.logs(self.run, model, feed)
        return FitConfig(self.config.epochs, monitor, "max", keep, logs)

    def maps(self, model: keras.Model, batch: Maps) -> Maps:
        """Return box masks, abnormality attention and class attention."""
        outputs = model(batch["image"], training=False)
        names = ("refined_maps", "abnormality_refined_maps")
        refined, abnormality = (
            keras.ops.convert_to_numpy(outputs[name]) for name in names
        )
        present = np.nan_to_num(batch["labels"])[:, None, None]
        masks = box_masks(batch["boxes"], refined.shape[1:3], refined.shape[3])
        return {
            "boxes": masks.numpy().astype(float),
            "abnormality": abnormality[..., 0],
            "classes": refined * present,
        }

    def _has_boxes(self, split: str) -> bool:
        return len(np.asarray(self.tables[split].boxes)) > 0

    def _fields(self, split: str) -> tuple[str, ...]:
        """Return what the pipeline of a split reads."""
        if not self._has_boxes(split):
            return ("image", "labels")
        crf = self.config.crf and split == "train"
        return ("image", "labels", "class_masks" if crf else "boxes")

    def _masked(self, train: Table) -> Table:
        """Return the training images with masks refined by a CRF, if requested."""
        if not self.config.crf or not self._has_boxes("train"):
            return train
        from kerasloc.data.crf import crf_masks

        masks = np.full(len(train), "", object)
        for row, path in crf_masks(train, self.run.folder / "masks").items():
            masks[row] = str(path)
        return dataclasses.replace(train, masks=masks.astype(str))


def compile_maps(
    model: keras.Model,
    network: NetworkConfig,
    config: MapTraining,
    strategy: Any = None,
) -> keras.Model:
    """Return the model of the logits, compiled; the backbone may be frozen."""
    fitted = keras.Model(model.input, model.output["logits"])
    for layer in resnet.layers_of(model):
        layer.trainable = not config.freeze_encoder
    fitted.compile(
        compiling.make_optimizer(config.optimizer, config.learning_rate),
        loss=compiling.label_loss(network),
        metrics=[compiling.accuracy(network), MultiLabelAUROC(name="auroc")],
        jit_compile=compiling.jit_compile(strategy),
    )
    return fitted


def load_start(model: keras.Model, network: NetworkConfig, start: str | None) -> None:
    """Load the weights that training starts from.

    Everything but the head is loaded from a run of other classes.

    ``start`` is a run folder of the same family, a `.weights.h5` or PyTorch file of the
    same network, ``imagenet`` (the backbone), or None for random weights.

    Raises:
        ValueError: If the weights are missing or do not fit.
    """
    if start is None:
        return
    if start == IMAGENET:
        names = (network.options.get(key) for key in ("backbone", "classifier"))
        load_imagenet(model, next(filter(None, names), "resnet50"))
        return
    path = pathlib.Path(start)
    if not path.exists():
        raise ValueError(
            "Expected start to be imagenet, a run folder or a weight file. Received: "
            f"--start {start}, which does not exist."
        )
    if path.is_dir():
        _load_run(model, network, path)
    elif path.suffix == ".h5":
        assign(model, read_arrays(path), source=str(path))
    else:
        logger.info("%s: %s", path, load_torch(model, path))


def _load_run(model: keras.Model, network: NetworkConfig, path: pathlib.Path) -> None:
    """Load the best weights of a run of the same family."""
    source = read_network(path)
    if source.family != network.family:
        raise ValueError(
            f"Expected start to be a run of the family {network.family!r}. Received: "
            f"{path}, of the family {source.family!r}."
        )
    arrays = read_arrays(weights_of_run(path))
    if source.class_names != network.class_names:
        head = producer(model.output.get("maps", model.output["logits"]))
        arrays[head.name] = {str(i): a for i, a in enumerate(head.get_weights())}
        logger.info("%s has other classes; its head is left out.", path)
    assign(model, arrays, source=str(path))


def tuned_thresholds(model: keras.Model, feed: Feed) -> np.ndarray:
    """Return the thresholds with the best F1 on validation, (classes,)."""
    scores = keras.Model(model.input, model.output["logits"])
    images = feed.val_batches().map(lambda image, target: image)
    logits = scores.predict(images, verbose=0)
    return best_thresholds(feed.val.labels, expit(logits.astype(float)))
