"""Image classification: train a small convolutional network with SGD and momentum on a folder of images with one
subfolder per class, such as CIFAR-10 as JPEG files.

Start a cluster with `longshore up`, then run `python examples/image_classification.py FOLDER` in another terminal. An
archive (.tar, .tar.gz) of such a folder works as well. The example then exports the network to ONNX, runs it with ONNX
Runtime and compares the outputs with those of Longshore.
"""

from __future__ import annotations

import argparse
import io
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime
from PIL import Image

from longshore.producers import Client

#: The approximate number of images for the comparison of both runtimes.
SAMPLE_SIZE = 20


def sample_images(path: Path) -> list[bytes]:
    """The content of some image files of a folder or an archive."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.*") if file.is_file())
        return [file.read_bytes() for file in files[:: max(len(files) // SAMPLE_SIZE, 1)]]
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.isfile()]
        streams = [archive.extractfile(member) for member in members[:: max(len(members) // SAMPLE_SIZE, 1)]]
        return [stream.read() for stream in streams if stream is not None]


def pixels(image: bytes, size: int) -> npt.NDArray[np.float32]:
    """The input of the network: the red, green and blue values from 0 to 1, channel by channel, in one row."""
    decoded = Image.open(io.BytesIO(image)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(decoded, np.float32).transpose(2, 0, 1).ravel() / np.float32(255)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a small convolutional network to classify images.")
    parser.add_argument("path", help="folder or archive of images with one subfolder per class")
    parser.add_argument("--size", type=int, default=32, help="width and height in pixels that images are scaled to")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    options = parser.parse_args()

    with Client() as client:
        # Two blocks of convolution, ReLU and pooling, then three fully connected layers, as in the tutorial
        # https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html
        job = client.train(
            "images",
            family="cnn",
            data=options.path,
            target="label",
            config={"input_shape": [3, options.size, options.size], "channels": [6, 16], "hidden": [120, 84]},
            optimizer="sgd",
            momentum=0.9,
            learning_rate=options.learning_rate,
            batch_size=options.batch_size,
            epochs=options.epochs,
            augment={"horizontal_flip": 0.5, "random_crop": {"padding": max(options.size // 8, 1)}},
            validation=0.1,
            test=0.1,
        ).wait()
        epochs: dict[int, dict[str, float]] = {}
        for metric in job.metrics():
            if metric.name.startswith("step/"):
                continue  # recorded about once a second by step, not by epoch
            epochs.setdefault(metric.step, {})[metric.name] = metric.value
        for epoch, metrics in epochs.items():
            print(
                f"epoch {epoch}: training loss {metrics['train_loss']:.3f}, "
                f"validation loss {metrics['val_loss']:.3f}, accuracy {metrics['val_accuracy']:.3f}"
            )
        version = f"images:{client.models.get('images').version}"  # the newest
        print(f"{version}: test accuracy {epochs[max(epochs)]['test_accuracy']:.3f}")

        images = sample_images(Path(options.path))
        results = client.infer(version, [{"image": image} for image in images], logits=True).wait().results()
        longshore_logits = np.array(results["logits"].to_pylist(), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            program = client.models.export(version, Path(folder) / "images.onnx")
            session = onnxruntime.InferenceSession(program)
            [onnx_logits] = session.run(None, {"input": np.stack([pixels(image, options.size) for image in images])})
        difference = float(np.abs(longshore_logits - onnx_logits).max())
        print(
            f"ONNX Runtime on {len(images)} images: outputs differ from those of Longshore by at most {difference:.1e}"
        )


if __name__ == "__main__":
    main()
