"""Marks a wheel that carries compiled kernels as one of its platform, for every Python."""

from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

BUNDLED = Path("src/torchmomentum/ops/cpu/bundled")  # filled by tools/wheel.py alone


class Package(Distribution):
    """Pure Python without bundled kernels."""

    def has_ext_modules(self):
        """Whether it belongs to a platform."""
        return any(BUNDLED.glob("kernels-*"))


class Wheel(bdist_wheel):
    """For every Python: no kernel knows of it."""

    def get_tag(self):
        """The tags of Python, its interface and the platform."""
        return "py3", "none", super().get_tag()[2]


setup(distclass=Package, cmdclass={"bdist_wheel": Wheel})
