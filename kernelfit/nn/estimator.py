"""A net as a scikit-learn classifier; all else lives elsewhere."""

import dataclasses
import math
import warnings

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_feature_names, check_is_fitted

from kernelfit.common.arrays import host_array
from kernelfit.common.errors import InputError
from kernelfit.common.validation import check_integer
from kernelfit.datasets.labels import classes_of, require_known
from kernelfit.nn.fitting import find_device, fit_net
from kernelfit.nn.images import CROP, Images
from kernelfit.nn.settings import Settings


@dataclasses.dataclass(eq=False, repr=False)  # for its constructor, whose parameters scikit-learn reads
class NetClassifier(ClassifierMixin, BaseEstimator):
    """Train a net on images or tables until it fits them, or its epochs are over.

    Parameters
    ----------
    model : str
        As kernelfit.nn.build_model reads it.
    epochs, batch, lr, momentum, lr_decay, weight_decay, augment, target, precision
        As in kernelfit.nn.settings.Settings; training stops when the training accuracy, measured exactly, reaches
        `target`.
    image_shape : tuple, optional
        (h, w) or (h, w, channels) of images that X holds as rows (n, d).
    crop, init, dropout, device
        As for kernelfit.nn.fitting.fit_net.
    whiten : bool
        Whether each image is whitened, and each column of a table standardised by its mean and deviation in fit.
    random_state : int, optional
        Seed of weights, order, crops and dropout; None is 0.

    Attributes
    ----------
    classes_ : array, shape (k,)
    net_ : torch.nn.Module
    history_ : kernelfit.nn.history.History
    columns_ : kernelfit.nn.images.Columns or None
        What standardises a table.

    Notes
    -----
    X is uint8, which stands for X / 255, or finite floating-point numbers: images (n, h, w) or (n, h, w, channels), or
    a table (n, d), which may hold other whole numbers too. Images whose rows are flat, (n, d), are a table unless
    `image_shape` tells what they are.
    """

    model: str = "mlp1x512"
    _: dataclasses.KW_ONLY
    epochs: int = 100
    batch: int = 128
    lr: float = 0.01
    momentum: float = 0.9
    lr_decay: float = 0.95
    weight_decay: float = 0.0
    augment: bool = False
    target: float = 1.0
    precision: str = "float32"
    image_shape: tuple | None = None
    crop: int = CROP
    whiten: bool = True
    init: str = "he"
    dropout: float = 0.0
    device: str = "auto"
    random_state: int | None = None

    def fit(self, X, y):
        """Train on X (n, ...) with labels y (n,) of at least two classes; returns self."""
        _check_feature_names(self, X, reset=True)
        if hasattr(X, "toarray"):
            raise InputError("X is a sparse matrix; nets take dense arrays: X.toarray()")
        X, y = self._images(X), np.asarray(host_array(y))
        if not len(X):
            raise InputError(f"X has shape {X.shape}: there are no examples")
        if y.shape != (len(X),):
            raise InputError(f"labels of shape {y.shape} do not fit {len(X)} examples; give ({len(X)},)")
        require_known(y)
        classes, labels = classes_of(y)
        check_classification_targets(y)
        names = {field.name for field in dataclasses.fields(Settings)}
        settings = Settings(**{name: value for name, value in self.get_params().items() if name in names})
        fitted = fit_net(
            self.model,
            X,
            labels.astype(np.int64),
            settings,
            n_classes=len(classes),
            seed=0 if self.random_state is None else self.random_state,
            **{name: getattr(self, name) for name in ("crop", "whiten", "init", "dropout", "device")},
        )
        self.classes_ = classes
        self.net_, self.history_, self.columns_ = fitted.net, fitted.history, fitted.columns
        self._shape = X.shape[1:]
        self.n_features_in_ = math.prod(self._shape)
        if self.history_.stopped_by == "diverged":
            warnings.warn(
                f"the loss or the weights became infinite or NaN in epoch {self.history_.epoch}, so that the net "
                f"predicts nothing; try a smaller lr than {self.lr:g}",
                ConvergenceWarning,
                stacklevel=2,
            )
        return self

    def predict(self, X):
        """Return the class of the largest logit, shape (m,)."""
        logits = self._logits(X)
        return self.classes_[logits.argmax(axis=1)]

    def decision_function(self, X):
        """Return the logits, float32 (m, k); for two classes that of the second less that of the first, shape (m,)."""
        logits = self._logits(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def _logits(self, X):
        check_is_fitted(self)
        _check_feature_names(self, X, reset=False)
        X, device = self._images(X), find_device(self.device)
        if X.shape[1:] != self._shape:
            raise InputError(f"X has shape {X.shape}; the net was fitted to {('m', *self._shape)}")
        images = Images(X, crop=self.crop, whiten=self.whiten, columns=self.columns_, device=device)
        net = self.net_.to(images.device).eval()
        with torch.inference_mode():
            parts = [net(x) for _, x in images.batches(torch.arange(len(images), device=images.device), 1024)]
        logits = torch.cat(parts)[:, : len(self.classes_)].float().cpu().numpy()  # a net may have more outputs
        if not np.isfinite(logits).all():
            raise InputError("the net returns NaN or infinite logits: its training diverged, or inputs are far out")
        return logits

    def _images(self, X):
        try:
            X = np.asarray(host_array(X))
        except ValueError as error:
            raise InputError(f"X is no array: {error}") from error
        if self.image_shape is None:  # whole numbers in a table are numbers; in images they might be grey levels
            whole = X.ndim == 2 and X.dtype.kind in "iub" and X.dtype != np.uint8
            return X.astype(np.float64) if whole else X
        if not isinstance(self.image_shape, tuple | list) or len(self.image_shape) not in (2, 3):
            raise InputError(f"image_shape = {self.image_shape!r}; give (h, w) or (h, w, channels)")
        shape = [check_integer("a side in image_shape", side) for side in self.image_shape]
        if X.ndim != 2 or X.shape[1] != math.prod(shape):
            raise InputError(f"image_shape = {self.image_shape} does not fit an X of shape {X.shape}")
        return X.reshape(len(X), *shape)
