import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from cases.data import write_images
from dale.data import load
from dale.data.folder import FolderReader
from dale.errors import DataError


@pytest.fixture
def folder(tmp_path):
    write_images(tmp_path)
    return tmp_path


def save(path, height=6, width=4, mode="RGB", value=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = (
        value if mode in ("L", "P", "1", "F", "I", "I;16") else (value,) * len(mode)
    )
    Image.new(mode, (width, height), colour).save(path, **options)
    return path


def pixels(path, size=(6, 4), fit="crop", mode="RGB", **settings):
    reader = FolderReader((path,), size, fit, mode, **settings)
    return reader.take(torch.tensor([0]))[0]


def test_classes_are_the_sorted_folder_names(folder):
    data = load("images", path=folder, size=6)
    assert data.class_names == ("cat", "dog")
    assert data.shape == (3, 6, 6)
    train = data.splits["train"]
    for row, target in zip(
        train.rows_N.tolist(), train.targets_N.tolist(), strict=True
    ):
        assert train.reader.paths[row].parent.name == data.class_names[target]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_splits_that_are_there_are_used(folder, name):
    save(folder / name / "dog" / "1.png")
    save(folder / "test" / "cat" / "1.png")
    splits = load("images", path=folder, size=6).splits
    assert [len(split) for split in splits.values()] == [24, 1, 1]
    assert splits["val"].targets_N.tolist() == [1]


def test_other_files_are_passed_over(folder):
    before = load("images", path=folder, size=6).splits["train"].digest()
    (folder / "train" / "cat" / "notes.txt").write_text("no image")
    (folder / "train" / "cat" / ".hidden.png").write_text("no image")
    save(folder / "train" / ".git" / "1.png")
    save(folder / "train" / "cat" / ".ipynb_checkpoints" / "1.png")
    (folder / "train" / "cat" / "notes").mkdir()
    (folder / "train" / "cat" / "notes" / "about.txt").write_text("no image")
    (folder / "train" / "list.csv").write_text("no class")
    assert load("images", path=folder, size=6).splits["train"].digest() == before


def test_crop_scales_the_short_side_and_cuts_the_centre(tmp_path):
    stripes = np.zeros((8, 24, 3), np.uint8)
    stripes[:, 8:16] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    cut = pixels(tmp_path / "a.png", (4, 4), "crop")
    assert cut[:, :, 1:3].unique().tolist() == [255]
    assert cut.min() > 200  # the filter reaches a little over the edge
    stretched = pixels(tmp_path / "a.png", (4, 3), "stretch")
    assert stretched[0, 0, 1] > 150 > 100 > stretched[0, 0, 0]


def test_images_of_the_right_size_are_not_resampled(tmp_path):
    array = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    made = pixels(tmp_path / "a.png")
    assert np.array_equal(made.numpy(), array.transpose(2, 0, 1))


@pytest.mark.parametrize("memory_mb", [0, 1000])
def test_order_is_the_one_asked_for_with_and_without_memory(tmp_path, memory_mb):
    paths = tuple(save(tmp_path / f"{i}.png", value=i) for i in range(40))
    reader = FolderReader(paths, (6, 4), "crop", "RGB", memory_mb)
    rows = torch.tensor([5, 39, 0, 5, 17])
    for _ in range(2):
        assert reader.take(rows)[:, 0, 0, 0].tolist() == rows.tolist()


def test_decoded_images_are_kept_where_they_fit(tmp_path):
    path = save(tmp_path / "a.png")
    rows = torch.tensor([0])
    keeping = FolderReader((path,), (6, 4), "crop", "RGB")
    forgetful = FolderReader((path,), (6, 4), "crop", "RGB", memory_mb=0)
    before = keeping.take(rows)
    assert torch.equal(before, forgetful.take(rows))
    save(path, value=3)
    assert torch.equal(keeping.take(rows), before)
    assert forgetful.take(rows).unique().tolist() == [3]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16"])
@pytest.mark.parametrize("wanted", ["RGB", "L"])
def test_every_common_kind_of_pixel_is_read(tmp_path, mode, wanted):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    value = 25700 if mode == "I;16" else 1 if mode == "1" else 100
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = pixels(save(path, mode=mode, value=value), mode=wanted)
    assert made.dtype == torch.uint8
    assert made.shape == (3 if wanted == "RGB" else 1, 6, 4)
    if mode in ("RGB", "RGBA", "L", "LA", "I;16"):
        assert made.unique().tolist() == [100]


def test_transparent_palettes_do_not_warn(tmp_path):
    path = save(tmp_path / "a.png", mode="P", value=1, transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(path).shape == (3, 6, 4)


def test_images_are_turned_upright(tmp_path):
    array = np.zeros((4, 6, 3), np.uint8)
    array[0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn a quarter clockwise to see it upright
    Image.fromarray(array).save(tmp_path / "a.png", exif=exif)
    made = pixels(tmp_path / "a.png", (6, 4))
    assert made[0, :, -1].unique().tolist() == [255]
    assert made[0, :, 0].unique().tolist() == [0]


def test_color_is_grey_where_every_image_is(tmp_path):
    for index in range(8):
        save(tmp_path / "train" / f"{index % 2}" / f"{index}.png", mode="L")
    settings = {"path": tmp_path, "val": 2, "test": 2}
    assert load("images", **settings).shape == (1, 6, 4)
    assert load("images", color="rgb", **settings).shape == (3, 6, 4)
    save(tmp_path / "train" / "0" / "9.png")
    assert load("images", **settings).shape == (3, 6, 4)
    assert load("images", color="grey", **settings).shape == (1, 6, 4)


def test_digest_follows_contents_and_preprocessing(folder):
    def digest(**settings):
        given = {"path": folder, "size": 6, **settings}
        return load("images", **given).splits["train"].digest()

    before = digest()
    assert digest(memory_mb=0) == before
    assert (
        len({before, digest(fit="stretch"), digest(color="grey"), digest(size=7)}) == 4
    )
    train = load("images", path=folder, size=6).splits["train"]
    save(train.reader.paths[int(train.rows_N[0])], value=9)
    assert digest() != before


def no_train(folder):
    (folder / "train").rename(folder / "training")


def no_classes(folder):
    for place in (folder / "train").iterdir():
        place.rename(folder / place.name)


def empty_class(folder):
    (folder / "train" / "bird").mkdir()


def unseen_class(folder):
    save(folder / "test" / "bird" / "1.png")


def two_names(folder):
    save(folder / "val" / "cat" / "1.png")
    save(folder / "valid" / "cat" / "1.png")


def too_deep(folder):
    save(folder / "train" / "dog" / "sub" / "x.png")


def several_too_deep(folder):
    for name in ("x.png", "y.JPG"):
        save(folder / "test" / "dog" / "sub" / "deeper" / name)


def too_high(folder):
    save(folder / "train" / "x.png")


def text_as_image(folder):
    (folder / "train" / "cat" / "x.png").write_text("no image")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (no_train, "has no folder train; expected train/<class>/<image>"),
        (no_classes, "train has no class folders"),
        (empty_class, "bird has no images"),
        (unseen_class, "test has class 'bird', which train lacks"),
        (two_names, "val and .*valid both exist; expected one"),
        (
            too_deep,
            r"train/dog/sub/x\.png lies in no class folder; expected .*/train/<",
        ),
        (several_too_deep, r"test/dog/sub/deeper/x\.png and 1 more lie in no class"),
        (too_high, r"train/x\.png lies in no class folder; expected .*<class>/<image>"),
        (text_as_image, r"cannot read image .*x\.png: UnidentifiedImageError"),
    ],
)
def test_wrong_folders(folder, harm, message):
    harm(folder)
    with pytest.raises(DataError, match=message):
        load("images", path=folder, size=6)


def test_damaged_image_is_named_when_it_is_read(folder):
    path = folder / "train" / "cat" / "00.jpg"
    Image.effect_noise((64, 64), 90).save(path)
    path.write_bytes(path.read_bytes()[:-600])
    data = load("images", path=folder, size=6)
    reader = data.splits["train"].reader
    with pytest.raises(DataError, match=r"cannot read image .*00\.jpg: OSError"):
        reader.take(torch.arange(len(reader)))


def test_pixels_of_32_bits_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", mode="F", value=0.5)
    with pytest.raises(DataError, match=r"a\.tif: ValueError: pixels of mode 'F'"):
        pixels(path)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, r"is \d+×\d+ and .* \(height × width\); say which size to use"),
        ({"size": 0}, "size is 0; expected a whole number or a pair of them, height"),
        (
            {"size": (8, 8, 8)},
            r"size is \(8, 8, 8\); expected a whole number or a pair",
        ),
        ({"size": "eight"}, "size is 'eight'; expected a whole number or a pair"),
        ({"size": (8, "8")}, r"size is \(8, '8'\); expected a whole number or a pair"),
        ({"size": 6, "memory_mb": -1}, "memory_mb is -1; expected 0 or more"),
        (
            {"size": 6, "train_limit": 1},
            r"train_limit 1 left no training example of class '(cat|dog)' but 1 of 24",
        ),
        ({"size": 6, "fit": "pad"}, "fit is 'pad'; expected 'crop' or 'stretch'"),
        ({"size": 6, "color": "gray"}, "color is 'gray'; expected 'auto', 'rgb'"),
        ({"path": "nowhere"}, "no folder nowhere"),
    ],
)
def test_wrong_settings(folder, settings, message):
    with pytest.raises(DataError, match=message):
        load("images", **{"path": folder, **settings})
