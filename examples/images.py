"""Recognise what is in pictures: a convolutional network, from a folder of files to its mistakes.

    python examples/images.py --output pictures

makes a small folder of PNG files, trains on it, and writes these pictures:

- convnet_predictions.png: some pictures, each with what the network says of it
- convnet_confusion.png: which class is taken for which
- convnet_filters.png, convnet_feature_maps.png: what the first layer looks for, and what the second
  finds
- convnet_history.png: loss and accuracy over the epochs
- convnet_gradients.png: the gradient by layer, in a network that can't learn and in one that can

They need matplotlib, the folder needs Pillow: ``pip install fastnn[plots,images]``. ``--folder``
takes one of your own, with a directory of pictures for each class.
"""

import argparse
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

import fastnn as fnn
from fastnn import datasets, layers, optimizers, plots

parser = argparse.ArgumentParser(description="Train a convolutional network on a folder.")
parser.add_argument(
    "--folder",
    type=Path,
    metavar="DIR",
    help="with a directory of pictures for each class (default: digits of MNIST, written here)",
)
parser.add_argument("--image-size", type=int, default=32, help="pixels a side (default: 32)")
parser.add_argument("--epochs", type=int, default=8, help="passes over the data (default: 8)")
parser.add_argument(
    "--count", type=int, default=3000, help="pictures that are written (default: 3000)"
)
parser.add_argument(
    "--output", type=Path, default=Path("."), metavar="DIR", help="of the pictures (default: here)"
)
arguments = parser.parse_args()
arguments.output.mkdir(parents=True, exist_ok=True)


# --- A folder of pictures -----------------------------------------------------------------------


def write_digits(folder: Path, count: int) -> None:
    """The first digits of MNIST as PNG files: folder/0, folder/1 ..., one directory a class."""
    (pixels, digits), _ = datasets.mnist.load_data()
    for number, (picture, digit) in enumerate(zip(pixels[:count], digits[:count], strict=True)):
        path = folder / str(digit) / f"{number:05}.png"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The last axis is that of the channels: gray has one. `scale=False` says that the
            # numbers are levels from 0 to 255 already.
            fnn.utils.save_img(path, picture[:, :, None], scale=False)


# Pictures of your own have colors, three numbers a pixel; the digits are gray, one number.
folder, color_mode, channels = arguments.folder, "rgb", 3
if folder is None:
    color_mode, channels = "grayscale", 1
    folder = arguments.output / f"digits-{arguments.count}"
    write_digits(folder, arguments.count)

# The same seed gives the same network, to the last bit, on any number of threads.
fnn.utils.set_random_seed(0)

# Every picture is decoded once, brought to one size, and kept in a cache as bytes: uint8, 0 to 255.
# A fifth of them, drawn with `seed`, is kept back to validate on: the network never learns from it.
# The labels are the names of the directories, numbered in alphabetical order.
size = (arguments.image_size, arguments.image_size)
train, validation = fnn.utils.image_dataset_from_directory(
    folder,
    image_size=size,
    color_mode=color_mode,
    batch_size=32,
    validation_split=0.2,
    subset="both",
    seed=1,
)
names = train.class_names
print(f"classes: {', '.join(names)}")


# --- A network that learns -----------------------------------------------------------------------


def block(x, filters, dropout):
    """A convolution looks at 3 x 3 pixels at a time, everywhere with the same weights, and makes
    `filters` new pictures of what it finds."""
    # "same" adds a border of zeros, so that the picture keeps its size. The normalization has a
    # bias of its own, so the convolution needs none.
    x = layers.Conv2D(
        filters, 3, padding="same", use_bias=False, kernel_initializer="he_normal",
        name=f"conv_{filters}",
    )(x)  # fmt: skip
    # Brings each of the new pictures to mean 0 and deviation 1 over the batch. Gradients then keep
    # their size from layer to layer. The momentum (Keras has 0.99) fits a training of few steps.
    x = layers.BatchNormalization(momentum=0.9, name=f"norm_{filters}")(x)
    x = layers.ReLU(name=f"relu_{filters}")(x)
    # Of 2 x 2 pixels the largest goes on. The next layer sees twice as far, for a quarter of the
    # work.
    x = layers.MaxPooling2D(2)(x)
    # Forgets some numbers at random while training, so that no single one is relied on.
    return layers.Dropout(dropout)(x)


inputs = layers.Input((*size, channels))
# The pixels go from 0 .. 255 to 0 .. 1. As a layer it is a part of the model: whoever uses the
# model later can't forget it.
x = layers.Rescaling(1 / 255)(inputs)
x = block(x, 32, dropout=0.1)
x = block(x, 64, dropout=0.2)
x = block(x, 128, dropout=0.3)
# All numbers in one row, and for each class a probability of them.
x = layers.Flatten()(x)
outputs = layers.Dense(len(names), activation="softmax")(x)
model = fnn.Model(inputs, outputs, name="convnet")
model.summary()

# "Sparse" means that a label is the number of the class, rather than a row of zeros and a one.
model.compile(
    optimizer=optimizers.Adam(0.001),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)
history = model.fit(train, validation_data=validation, epochs=arguments.epochs)

loss, accuracy = model.evaluate(validation, verbose=0)
print(f"validation loss: {loss:.4f}")
print(f"validation accuracy: {accuracy:.4f}")

# A row is a true class, a column a predicted one: on the diagonal, both are the same.
probabilities = model.predict(validation, verbose=0)
predicted = probabilities.argmax(axis=1)
confusion = np.zeros((len(names), len(names)), int)
np.add.at(confusion, (validation.labels, predicted), 1)
width = max(5, *map(len, names))
print("\n" + " " * width + "".join(f"{name:>{width}}" for name in names) + "   <- predicted")
for name, row in zip(names, confusion, strict=True):
    print(f"{name:>{width}}" + "".join(f"{count or '.':>{width}}" for count in row))
print()

# Fifteen pictures beside their probabilities: the first ones, and after them some mistakes.
mistakes = np.flatnonzero(predicted != validation.labels)
right = np.flatnonzero(predicted == validation.labels)
shown = np.concatenate([right[: 15 - len(mistakes[:4])], mistakes[:4]])
pictures = {
    "convnet_predictions": plots.predictions(
        validation.images[shown],
        validation.labels[shown],
        probabilities[shown],
        class_names=names,
    ),
    "convnet_confusion": plots.confusion_matrix(
        validation.labels, probabilities, class_names=names
    ),
    "convnet_filters": plots.filters(model.get_layer("conv_32")),
    "convnet_feature_maps": plots.feature_maps(model, validation.images[0], "relu_64", columns=13),
    "convnet_history": plots.history(history),
}


# --- The same network without its remedies -------------------------------------------------------

# No normalization, no rectifier, and far deeper: between two poolings stand four convolutions, not
# one. Each of the twelve passes through a sigmoid, whose slope is a quarter at most, so at each of
# them three quarters of the gradient are lost. What comes to the first layer is too little to learn
# from.
x = inputs = layers.Input((*size, channels))
x = layers.Rescaling(1 / 255)(x)
for filters in (32, 64, 128):
    for number in range(1, 5):
        x = layers.Conv2D(
            filters // 4, 3, padding="same", activation="sigmoid", name=f"conv{filters}_{number}"
        )(x)
    x = layers.MaxPooling2D(2)(x)
x = layers.Flatten()(x)
outputs = layers.Dense(len(names), activation="softmax")(x)
patient = fnn.Model(inputs, outputs, name="without_remedies")
patient.compile(
    optimizer=optimizers.Adam(0.001),
    loss="sparse_categorical_crossentropy",
    metrics=["accuracy"],
)

# A copy of it is trained for some steps beside a network that is known to be sound. The report says
# whether it learns, in which layer it fails, and why; and of each change that may help, what came
# of it. `diagnose` takes arrays as `fit` does; `train.images` is one.
sick = fnn.health.diagnose(patient, train.images, train.labels)
print(sick)
sound = fnn.health.diagnose(model, train.images, train.labels, remedies=False)
print(f"\nand the network of before is {sound.verdict}")

# A new model with the change that stands first in the report; the patient stays as it is.
if sick.best is not None:
    cured = sick.best.apply()
    settings = {"epochs": arguments.epochs, "verbose": 0, **sick.best.fit_arguments}
    cured.fit(train.images, train.labels, **settings)
    accuracy = cured.evaluate(validation, verbose=0)[1]
    print(f"cured, with {sick.best.name}: validation accuracy {accuracy:.4f}")

# The gradient of each layer, on a logarithmic scale: the layers of the patient that get next to
# nothing have red names.
figure = Figure(figsize=(12, 4.2), dpi=120, layout="constrained")
both = figure.subplots(1, 2)
for axes, report in zip(both, (sick, sound), strict=True):
    plots.gradient_flow(report, ax=axes)
limits = [axes.get_ylim() for axes in both]
for axes, title in zip(both, ("without remedies", "with them"), strict=True):
    axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    axes.set_title(title, loc="right", pad=24, color="gray")
pictures["convnet_gradients"] = figure


# --- Pictures that are arrays already -------------------------------------------------------------

# Those of OpenCV (`cv2.imread`) are uint8 (height, width, 3) in the order blue, green, red, and of
# any size. Here Pillow reads them, and their channels are turned round: it runs without OpenCV.
paths = train.file_paths[:500]
bgr = [fnn.utils.img_to_array(fnn.utils.load_img(path), dtype="uint8")[..., ::-1] for path in paths]

# BGR to RGB, as `cv2.cvtColor(image, cv2.COLOR_BGR2RGB)` does: the last axis backwards.
rgb = [image[..., ::-1] for image in bgr]
# To one size: `cv2.resize(image, size, interpolation=cv2.INTER_AREA)`, or with Pillow:
resized = [
    fnn.utils.img_to_array(fnn.utils.array_to_img(image, scale=False).resize(size)) for image in rgb
]
# To numbers from 0 to 1. A model that begins with Rescaling must not get them so: it would divide
# by 255 a second time.
scaled = np.array(resized, np.float32) / 255
labels = np.array(train.labels[: len(scaled)])

try:
    from sklearn.model_selection import train_test_split
except ImportError:  # by hand: a random order, of which the first fifth is kept back
    order = np.random.default_rng(0).permutation(len(scaled))
    held_back, rest = order[: len(order) // 5], order[len(order) // 5 :]
    x_train, x_test, y_train, y_test = (
        scaled[rest], scaled[held_back], labels[rest], labels[held_back]
    )  # fmt: skip
else:
    # `stratify` keeps the share of each class the same in both parts.
    x_train, x_test, y_train, y_test = train_test_split(
        scaled, labels, test_size=0.2, stratify=labels, random_state=0
    )

# The same layers behind an input that takes these numbers as they are.
x = inputs = layers.Input((*size, 3))
for filters, dropout in ((32, 0.1), (64, 0.2), (128, 0.3)):
    x = block(x, filters, dropout)
outputs = layers.Dense(len(names), activation="softmax")(layers.Flatten()(x))
small = fnn.Model(inputs, outputs, name="from_arrays")
small.compile(optimizers.Adam(0.001), "sparse_categorical_crossentropy", metrics=["accuracy"])
small.fit(x_train, y_train, batch_size=16, epochs=arguments.epochs, verbose=0)
accuracy = small.evaluate(x_test, y_test, verbose=0)[1]
print(f"from {len(x_train)} arrays: accuracy {accuracy:.4f} on {len(x_test)} others")

for name, figure in pictures.items():
    figure.savefig(arguments.output / f"{name}.png")
print(f"pictures in {arguments.output}: {', '.join(f'{name}.png' for name in pictures)}")
