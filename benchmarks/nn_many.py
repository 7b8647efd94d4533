"""Nets of many settings: trained together (kernelfit.nn.many) beside one after another, in images per second.

    python benchmarks/nn_many.py                        MLP 1x512 and a narrow one on the CPU, some minutes
    python benchmarks/nn_many.py --device cuda --members 5 15 60

Made-up images of 32 x 32 x 3, cut to 28 x 28 and whitened, random labels, batch 128. "one seed": corruption levels,
which see the images in one order; "own seeds": each member has an order, and so inputs, of its own. In every round both
ways train the same nets for the same epochs, evaluations left out. Prints Markdown.
"""

import argparse

import common
import numpy as np

N, CROP, CLASSES, EPOCHS = 5120, 28, 10, 2


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["mlp1x512", "mlp(width=0.125)"])
    parser.add_argument("--members", nargs="+", type=int, default=[5, 15])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    import torch

    common.describe("Nets trained together", {})
    name = torch.cuda.get_device_name() if options.device == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"PyTorch {torch.__version__}, {options.device}, {name}\n")
    rows = [
        [model, str(count), "one seed" if shared else "own seeds", *compare(model, count, shared, options)]
        for model in options.models
        for count in options.members
        for shared in (True, False)
    ]
    common.table(["net", "members", "order", "one by one, images/s", "together, images/s", "ratio"], rows)


def compare(model, count, shared, options):
    """Return the images per second of both ways, all members counted, and the median of the ratios of the rounds."""
    from kernelfit.nn.many import train_many
    from kernelfit.nn.training import train

    apart, together = [], []
    for round_ in range(options.rounds + 1):  # the first warms up
        members = make(model, count, shared, options)
        histories = train_many(members)
        rate = sum(history.images for history in histories) / histories[0].train_seconds
        histories = [train(m.net, m.images, m.labels, m.settings, seed=m.seed) for m in members]
        if round_:
            together.append(rate)
            apart.append(sum(h.images for h in histories) / sum(h.train_seconds for h in histories))
    ratios = [a / b for a, b in zip(together, apart, strict=True)]
    return [common.spread(values) for values in (apart, together, ratios)]


def make(model, count, shared, options):
    import torch

    from kernelfit.nn.images import Images
    from kernelfit.nn.many import Member
    from kernelfit.nn.models import build_model
    from kernelfit.nn.settings import Settings

    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (N, 32, 32, 3), dtype=np.uint8), crop=CROP, device=options.device)
    settings = Settings(epochs=EPOCHS, stop_when_fitted=False)
    return [
        Member(
            net=build_model(model, images.input_shape, CLASSES, seed=e),
            images=images,
            labels=torch.from_numpy(rng.integers(0, CLASSES, N)).to(options.device),
            settings=settings,
            seed=0 if shared else e,
        )
        for e in range(count)
    ]


if __name__ == "__main__":
    main()
