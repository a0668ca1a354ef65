"""Image classification: a small convolutional network, trained by SGD with momentum on a folder of images whose
subfolders are their classes, such as CIFAR-10 as JPEG files.

Start a cluster with `longshore up`, then run `python examples/image_classification.py FOLDER` in another terminal. An
archive (.tar, .tar.gz) of such a folder will do as well. The network is then exported as ONNX and run by ONNX Runtime,
which puts out what Longshore does.
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

#: Images that both runtimes are compared on.
COMPARED = 20


def some_images(path: Path) -> list[bytes]:
    """A few image files of a folder or an archive."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.*") if file.is_file())
        return [file.read_bytes() for file in files[:: max(len(files) // COMPARED, 1)]]
    with tarfile.open(path) as archive:
        members = [member for member in archive if member.isfile()]
        some = [archive.extractfile(member) for member in members[:: max(len(members) // COMPARED, 1)]]
        return [file.read() for file in some if file is not None]


def pixels(image: bytes, size: int) -> npt.NDArray[np.float32]:
    """What the network reads: red, green and blue, 0 to 1, channel by channel in one row."""
    decoded = Image.open(io.BytesIO(image)).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return np.asarray(decoded, np.float32).transpose(2, 0, 1).ravel() / np.float32(255)


def main() -> None:
    parser = argparse.ArgumentParser(description="Learn the classes of images by a small convolutional network.")
    parser.add_argument("path", help="a folder or an archive of images; its subfolders are the classes")
    parser.add_argument("--size", type=int, default=32, help="pixels that images are scaled to, each way")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=0.01)
    options = parser.parse_args()

    with Client() as client:
        # Two blocks of convolution, ReLU and pooling, then three layers of units, as in the tutorial
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
        steps: dict[int, dict[str, float]] = {}
        for metric in job.metrics():
            if metric.name.startswith("step/"):
                continue  # once a second, by step and not by epoch
            steps.setdefault(metric.step, {})[metric.name] = metric.value
        for epoch, found in steps.items():
            print(
                f"epoch {epoch}: training loss {found['train_loss']:.3f}, "
                f"validation loss {found['val_loss']:.3f}, accuracy {found['val_accuracy']:.3f}"
            )
        version = f"images:{client.models.get('images').version}"  # the newest
        print(f"{version}: test accuracy {steps[max(steps)]['test_accuracy']:.3f}")

        images = some_images(Path(options.path))
        results = client.infer(version, [{"image": image} for image in images], logits=True).wait().results()
        ours = np.array(results["logits"].to_pylist(), np.float32)
        with tempfile.TemporaryDirectory() as folder:
            program = client.models.export(version, Path(folder) / "images.onnx")
            session = onnxruntime.InferenceSession(program)
            [theirs] = session.run(None, {"input": np.stack([pixels(image, options.size) for image in images])})
        apart = float(np.abs(ours - theirs).max())
        print(f"ONNX Runtime on {len(images)} images: outputs at most {apart:.1e} apart from Longshore's")


if __name__ == "__main__":
    main()
