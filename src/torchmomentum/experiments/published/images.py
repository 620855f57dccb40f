"""The test errors of the slides' image figures. No torch.

The slides show their image results in figures without numbers ("SRSGD for Deep
Learning", "Improving Testing Error", "Reducing the Training Epochs"). The numbers are those that
the release plots in the figures of its paper (arXiv:2002.10583): ``plot_code_srsgd.ipynb`` of
minhtannguyen/SRSGD, commit 3190566, the cells of Figures 4 (CIFAR-10), 5 (CIFAR-100) and 6
(ImageNet) of the appendix, at no epochs less than the full training. The notebook gives no
deviations of SGD and does not name SRSGD's schedule on CIFAR: linear, as in all of the release's
shorter trainings. It prints each list of deviations in the order of its means.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

# (data, depth, optimizer, epochs): test error in percent, and its deviation over the runs
IMAGE_ERRORS: Mapping[tuple[str, int, str, int], tuple[float, float | None]] = MappingProxyType(
    {
        ("cifar10", 110, "sgd", 200): (5.25, None),
        ("cifar10", 290, "sgd", 200): (5.05, None),
        ("cifar10", 470, "sgd", 200): (4.92, None),
        ("cifar10", 650, "sgd", 200): (4.87, None),
        ("cifar10", 1001, "sgd", 200): (4.84, None),
        ("cifar10", 110, "srsgd-linear", 200): (4.93, 0.13),
        ("cifar10", 290, "srsgd-linear", 200): (4.37, 0.15),
        ("cifar10", 470, "srsgd-linear", 200): (4.18, 0.09),
        ("cifar10", 650, "srsgd-linear", 200): (4.00, 0.07),
        ("cifar10", 1001, "srsgd-linear", 200): (3.87, 0.07),
        ("cifar100", 110, "sgd", 200): (23.75, None),
        ("cifar100", 290, "sgd", 200): (21.78, None),
        ("cifar100", 470, "sgd", 200): (21.43, None),
        ("cifar100", 650, "sgd", 200): (21.27, None),
        ("cifar100", 1001, "sgd", 200): (20.87, None),
        ("cifar100", 110, "srsgd-linear", 200): (23.49, 0.23),
        ("cifar100", 290, "srsgd-linear", 200): (21.49, 0.27),
        ("cifar100", 470, "srsgd-linear", 200): (20.71, 0.32),
        ("cifar100", 650, "srsgd-linear", 200): (20.36, 0.25),
        ("cifar100", 1001, "srsgd-linear", 200): (19.75, 0.11),
        ("imagenet", 50, "sgd", 90): (24.11, None),
        ("imagenet", 101, "sgd", 90): (22.42, None),
        ("imagenet", 152, "sgd", 90): (22.03, None),
        ("imagenet", 200, "sgd", 90): (22.13, None),
        ("imagenet", 50, "srsgd-linear", 90): (23.85, 0.09),
        ("imagenet", 101, "srsgd-linear", 90): (22.06, 0.10),
        ("imagenet", 152, "srsgd-linear", 90): (21.46, 0.07),
        ("imagenet", 200, "srsgd-linear", 90): (20.93, 0.13),
    }
)
