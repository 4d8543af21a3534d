"""The sections of a configuration that name images, and what training does to them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from rnnjax.config.checks import check, choice, positive, runtime
from rnnjax.config.data import DataConfig

Padding = Literal["zeros", "reflect"]
Color = Literal["rgb", "grey"]
OnBadFile = Literal["refuse", "skip"]


@dataclass(frozen=True, kw_only=True)
class ImageData(DataConfig):
    """Images with one label each."""

    kind: ClassVar[str] = "image"
    name: str = field()
    """Data set: digits (embedded) or a TFDS name such as mnist or imdb_reviews."""
    max_shift: int = 0
    """Training images are shifted by up to this many pixels in each direction."""
    shift_padding: Padding = "zeros"
    """What moves in at the border: zeros, or the image reflected there."""
    max_rotation: float = 0.0
    """Training images are turned about their centre by up to this many degrees either way."""
    max_zoom: float = 0.0
    """Training images are scaled about their centre to between 1 - this and 1 + this times their size."""
    elastic: float = 0.0
    """Training images are distorted like rubber: standard deviation in pixels of how far each moves down and right."""
    elastic_sigma: float = 4.0
    """Smoothness of that distortion: standard deviation in pixels of the Gaussian over the displacements."""
    flip: bool = False
    """Every other training image, at random, is mirrored left to right."""
    cutout: int = 0
    """Side in pixels of a square, at a random place of each training image, that is set to the training mean."""
    crop_size: int = 0
    """Stream images of any size and bring them to this many pixels square: in training a random part of the
    image, flipped half the time; otherwise the center. 0: all images have one size."""
    crop_least_area: float = 0.08
    """Smallest share of an image's area that such a training crop shows."""
    test_split: str = "test"
    """The data set's split to test on, such as validation where the labels of test are not public."""

    def load(self) -> Any:
        """The embedded digits, or images by TFDS."""
        from rnnjax.data import sources

        return sources.images(self)

    def augment(self, dataset: Any) -> Any:
        """Flip, warp, shift and cutout, see :func:`rnnjax.data.augment.image_augmentation`."""
        from rnnjax.data.augment import image_augmentation

        return image_augmentation(self, dataset.preprocess.mean)

    def __post_init__(self):
        super().__post_init__()
        check(self.max_shift >= 0, self, "max_shift", "0 or more pixels")
        check(0 <= self.max_rotation <= 180, self, "max_rotation", "from 0 to 180 degrees")
        check(0 <= self.max_zoom < 1, self, "max_zoom", "0 or more and below 1")
        check(0 <= self.elastic < float("inf"), self, "elastic", "0 or more pixels, and finite")
        check(0 < self.elastic_sigma <= 100, self, "elastic_sigma", "above 0 and at most 100 pixels")
        check(self.cutout >= 0, self, "cutout", "0 or more pixels")
        choice(self, "shift_padding", Padding)
        check(self.crop_size >= 0, self, "crop_size", "0 or more pixels")
        check(0 < self.crop_least_area <= 1, self, "crop_least_area", "above 0 and at most 1")
        check(self.test_split != "train", self, "test_split", "another split than train")


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(ImageData):
    """A folder of image files of any sizes, with one sub-folder a class."""

    kind: ClassVar[str] = "image_folder"
    name: str = "image_folder"
    """Name of the data set in results."""
    data_dir: str | None = runtime(None)
    """Folder with one sub-folder a class, or with the two sub-folders train and test of such folders."""
    height: int = 32
    """Height in pixels to which every image is resized."""
    width: int = 32
    """Width in pixels to which every image is resized."""
    color: Color = "rgb"
    """Whether images are read in color or in grey."""
    test_fraction: float = 0.2
    """Share of each class that is the test split, where there are no train and test sub-folders."""
    on_bad_file: OnBadFile = "refuse"
    """What to do about a file that is no readable image: refuse the folder, or skip the file and say so."""

    def load(self) -> Any:
        """The folder, its images decoded and resized."""
        from rnnjax.data import sources

        return sources.image_folder(self)

    def __post_init__(self):
        super().__post_init__()
        positive(self, "height")
        positive(self, "width")
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        choice(self, "color", Color)
        choice(self, "on_bad_file", OnBadFile)
