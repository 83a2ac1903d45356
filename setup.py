"""What the package is called and what it needs."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
INIT = (HERE / "kerasloc" / "__init__.py").read_text()

setup(
    name="kerasloc",
    version=re.search(r'__version__ = "([^"]+)"', INIT).group(1),
    description="Where in the image is what the classifier saw, and how good is that "
    "answer? Weakly supervised localization on Keras 3.",
    long_description=(HERE / "README.md").read_text(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["kerasloc", "kerasloc.*"]),
    package_data={
        "kerasloc": ["py.typed"],
        "kerasloc.models": ["presets/*.toml"],
        "kerasloc.plotting": ["web/*"],
    },
    python_requires=">=3.11",
    install_requires=[
        "tensorflow>=2.21",
        "keras>=3.15",
        "numpy>=2.0",
        "scipy>=1.15",
        "pandas>=2.2",
        "scikit-image>=0.26",
        "scikit-learn>=1.6",
        "SimpleITK>=2.4",
        "pillow>=11",
        "tqdm>=4.66",
        "matplotlib>=3.10",
        "seaborn>=0.13",
        "tensorboard>=2.19",
        "h5py>=3.11",
    ],
    extras_require={
        "imgaug": ["pyimgaug==0.5.0"],
        "gpu": ["tensorflow[and-cuda]>=2.21"],
        "crf": ["pydensecrf2==1.1"],
        "jax": ["jax>=0.6"],
        "dicom": ["pydicom>=3"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.6",
            "ruff>=0.14",
            "mypy>=1.15",
            "pydicom>=3",
        ],
    },
    classifiers=[
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
