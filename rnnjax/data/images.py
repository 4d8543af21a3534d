"""The sections of a configuration that name images, and what training does to them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

from rnnjax.config.checks import check, choice, option, positive, runtime
from rnnjax.config.data import DataConfig

Padding = Literal["zeros", "reflect"]
Color = Literal["rgb", "grey"]
OnBadFile = Literal["refuse", "skip"]
ClassesFrom = Literal["auto", "top", "parent", "table", "name"]
Header = Literal["auto", "yes", "no"]


@dataclass(frozen=True, kw_only=True)
class ImageData(DataConfig):
    """Images with one label each.

    Elastic distortion is like that of rubber: a pixel moves by a displacement of that standard deviation down and
    right, smoothed by a Gaussian. Cutout sets a square at a random place to the training mean.

    With --data.crop-size images of any sizes are streamed, and decoded in every epoch anew: training sees a random part
    of each, flipped half the time, evaluation and prediction the center.
    """

    kind: ClassVar[str] = "image"
    name: str = field()
    """digits (embedded) or a TFDS name such as mnist."""
    max_shift: int = 0
    """Augment: shift by up to this many pixels."""
    shift_padding: Padding = option("zeros", rare=True)
    """What moves in at the border: zeros, or the image reflected there."""
    max_rotation: float = option(0.0, rare=True)
    """Augment: turn by up to this many degrees either way."""
    max_zoom: float = option(0.0, rare=True)
    """Augment: zoom in or out by up to this share."""
    elastic: float = option(0.0, rare=True)
    """Augment: distort by displacements of this many pixels."""
    elastic_sigma: float = option(4.0, rare=True)
    """Smoothness of that distortion: standard deviation in pixels of the Gaussian over the displacements."""
    flip: bool = option(False, off="Mirror no training images.")
    """Augment: mirror every other image left to right."""
    alternate_flip: bool = option(False, rare=True, off="Mirror no images in turn.")
    """Augment: mirror each image left to right in every other epoch."""
    cutout: int = 0
    """Augment: side in pixels of a square that is blanked."""
    crop_size: int = option(0, rare=True)
    """Stream images of any sizes, brought to this many pixels square; 0: all images have one size."""
    crop_least_area: float = option(0.08, rare=True)
    """Smallest share of an image's area that such a training crop shows."""
    permutation_seed: int | None = option(None, rare=True, of_target=True)
    """Show the model the pixels of all images in one order that is drawn by this seed; unset: as they lie."""
    distorted_validation: bool = option(False, rare=True, off="Validate on the held-out images as they are.")
    """Validate on distorted copies of the held-out images, which tell settings apart where these no longer do."""
    test_split: str = option("test", rare=True)
    """The data set's split to test on, such as validation where the labels of test are not public."""

    def load(self) -> Any:
        """The embedded digits, or images by TFDS."""
        from rnnjax.data import sources
        from rnnjax.data.pixel_order import permuted

        return permuted(sources.images(self), self.permutation_seed)

    def outline(self) -> Any:
        """Images of the published sizes, see :func:`rnnjax.data.outlines.images`; None: a subclass loads others."""
        from rnnjax.data import outlines

        return outlines.images(self) if type(self) is ImageData else None

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
        check(not (self.flip and self.alternate_flip), self, "alternate_flip", "left out beside --data.flip")
        choice(self, "shift_padding", Padding)
        check(self.permutation_seed is None or self.permutation_seed >= 0, self, "permutation_seed", "0 or more")
        check(self.crop_size >= 0, self, "crop_size", "0 or more pixels")
        check(0 < self.crop_least_area <= 1, self, "crop_least_area", "above 0 and at most 1")
        fixed = not (self.distorted_validation and self.crop_size)
        check(fixed, self, "distorted_validation", "left out where images are streamed by --data.crop-size")
        check(self.test_split != "train", self, "test_split", "another split than train")


@dataclass(frozen=True, kw_only=True)
class ImageFolderData(ImageData):
    """Image files of any sizes, in a folder or a .zip.

    Their classes are sub-folders, or stand in a table beside them (labels.csv) or in their names (cat.0.jpg); folders
    called train, val and test are the splits. What was understood is said before training.

    Splits that are not there are cut from train: by class, the same way each time, copies of one image together.
    """

    kind: ClassVar[str] = "image_folder"
    name: str = option("image_folder", rare=True)
    """Name of the data set in results."""
    data_dir: str | None = runtime(None)
    """Folder or .zip with a sub-folder a class, or with train, val and test of such, or with labels.csv."""
    crop_size: int = option(0, offered=False)
    crop_least_area: float = option(0.08, offered=False)
    distorted_validation: bool = option(False, offered=False)
    test_split: str = option("test", offered=False)
    height: int = 32
    """Pixels to which every image is resized."""
    width: int = 32
    """Pixels to which every image is resized."""
    color: Color = "rgb"
    """How images are read."""
    test_fraction: float = option(0.2, rare=True)
    """Share of each class that is the test split, where none is given."""
    on_bad_file: OnBadFile = option("refuse", rare=True)
    """What to do about a file that is no readable image: refuse the folder, or skip the file and say so."""
    classes_from: ClassesFrom = option("auto", rare=True)
    """What tells the classes: top folders, each image's parent folder, a table, or names of files; auto: found out."""
    file_column: str | None = option(None, rare=True)
    """Column of a table of labels that names the files; unset: file, filename, image, path, id or a name like these."""
    label_column: str | None = option(None, rare=True)
    """Column of it that names the classes; unset: label, class, category or a name like these."""
    delimiter: str | None = runtime(None, rare=True)
    """What stands between its fields: a character, or tab; unset: found out."""
    encoding: str | None = runtime(None, rare=True)
    """Its encoding, such as cp1252 or utf-16; unset: UTF-8."""
    header: Header = runtime("auto", rare=True)
    """Whether its first line names the columns; auto: unless it is plainly a row of data."""

    def fitting(self, examples: int, multiple: int) -> Self:
        """The section with a batch that few images fill."""
        return self.with_smaller_batch(examples, multiple)

    @property
    def reading(self) -> Any:
        """How the classes are found, a :class:`rnnjax.data.image_lists.Reading`."""
        from rnnjax.data.image_lists import Reading

        header = {"auto": None, "yes": True, "no": False}[self.header]
        columns = (self.file_column, self.label_column)
        return Reading(self.classes_from, *columns, self.delimiter, self.encoding, header)

    def load(self) -> Any:
        """The folder, its images decoded and resized."""
        from rnnjax.data import sources
        from rnnjax.data.pixel_order import permuted

        return permuted(sources.image_folder(self), self.permutation_seed)

    def __post_init__(self):
        super().__post_init__()
        positive(self, "height")
        positive(self, "width")
        check(0 < self.test_fraction < 1, self, "test_fraction", "between 0 and 1")
        choice(self, "color", Color)
        choice(self, "on_bad_file", OnBadFile)
        choice(self, "classes_from", ClassesFrom)
        choice(self, "header", Header)
