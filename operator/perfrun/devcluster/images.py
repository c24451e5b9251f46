"""Images without a registry or a builder: a tar archive written here and imported into every node.

The base image is one static busybox. Heavy trees (Python, torch) are not in any image: pods of the runtime class
`perfrun-host` see the host's, read-only.
"""

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs

BASE_IMAGE = "perfrun.dev/base:1"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_APPLETS = """
    sh ash cat ls echo printf sleep true false test env id hostname date ps kill head tail grep sed awk cut sort
    uniq wc tr mkdir rm cp mv ln chmod touch stat dd seq yes tee xargs find nc wget httpd nslookup ping ip ifconfig
    route netstat vi mount umount df du free top uptime timeout time which md5sum sha256sum tar gzip gunzip
    base64 od hexdump usleep
"""
_DIRECTORIES = "bin dev etc home lib lib64 opt proc root run sbin sys usr var var/run var/tmp work"
_USERS = """root:x:0:0:root:/root:/bin/sh
nobody:x:65534:65534:nobody:/:/bin/false
nonroot:x:65532:65532:nonroot:/tmp:/bin/sh
"""
_GROUP = "root:x:0:\nnogroup:x:65534:\nnonroot:x:65532:\n"
_OCI = "application/vnd.oci.image"


@attrs.frozen
class _Entry:
    """A file, a directory (no content) or a symbolic link (to a target)."""

    path: str
    mode: int
    content: bytes | None = None
    target: str = ""


def base_image(busybox: bytes) -> bytes:
    """The archive of the image that sandboxes and simple pods use."""
    entries = [
        *(_Entry(directory, 0o755) for directory in _DIRECTORIES.split()),
        _Entry("tmp", 0o1777),
        _Entry("etc/passwd", 0o644, _USERS.encode()),
        _Entry("etc/group", 0o644, _GROUP.encode()),
        _Entry("etc/nsswitch.conf", 0o644, b"hosts: files dns\n"),
        _Entry("bin/busybox", 0o755, busybox),
        *(_Entry(f"bin/{applet}", 0o777, target="busybox") for applet in _APPLETS.split()),
    ]
    configuration = {"Entrypoint": ["/bin/sleep", "2147483647"], "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"]}
    return _archive(BASE_IMAGE, _layer(entries), configuration)


def _layer(entries: Iterable[_Entry]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for entry in entries:
            _add(tar, entry)
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, entry: _Entry) -> None:
    # Owner, group and time stay zero: the same input is the same digest everywhere.
    info = tarfile.TarInfo(entry.path)
    info.mode = entry.mode
    if entry.target:
        info.type, info.linkname = tarfile.SYMTYPE, entry.target
        tar.addfile(info)
    elif entry.content is None:
        info.type = tarfile.DIRTYPE
        tar.addfile(info)
    else:
        info.size = len(entry.content)
        tar.addfile(info, io.BytesIO(entry.content))


def _archive(reference: str, layer: bytes, configuration: dict[str, Any]) -> bytes:
    """An OCI image layout as one tar archive (OCI image specification 1.1)."""
    blobs: dict[str, bytes] = {}

    def describe(media_type: str, content: bytes) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        blobs[digest] = content
        return {"mediaType": f"{_OCI}.{media_type}", "digest": f"sha256:{digest}", "size": len(content)}

    layer_descriptor = describe("layer.v1.tar", layer)
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": configuration,
        "rootfs": {"type": "layers", "diff_ids": [layer_descriptor["digest"]]},
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": describe("config.v1+json", json.dumps(config).encode()),
        "layers": [layer_descriptor],
    }
    named = describe("manifest.v1+json", json.dumps(manifest).encode())
    named["annotations"] = {"io.containerd.image.name": reference, "org.opencontainers.image.ref.name": reference}
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [named]}).encode(),
        **{f"blobs/sha256/{digest}": content for digest, content in blobs.items()},
    }
    return _layer(_Entry(path, 0o644, content) for path, content in files.items())


def import_command(ctr: Path, socket: Path, archive: str = "-") -> list[str]:
    """The command that imports an OCI or Docker archive into one node, from standard input by default."""
    return [str(ctr), "--address", str(socket), "--namespace", "k8s.io", "images", "import", archive]


def archive_references(path: Path) -> list[str]:
    """The image names that an OCI or Docker archive states, in its order.

    Raises:
        KeyError: it is neither.
        tarfile.TarError: it is no tar archive.
    """
    with tarfile.open(path) as tar:
        members = set(tar.getnames())
        if "manifest.json" in members:
            documents = json.load(_content(tar, "manifest.json"))
            return [normalized(tag) for document in documents for tag in document.get("RepoTags") or []]
        index = json.load(_content(tar, "index.json"))
    annotations = [manifest.get("annotations", {}) for manifest in index["manifests"]]
    return [
        normalized(name)
        for annotation in annotations
        if (name := annotation.get("io.containerd.image.name") or annotation.get("org.opencontainers.image.ref.name"))
    ]


def _content(tar: tarfile.TarFile, name: str) -> io.BufferedReader | Any:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file


def normalized(reference: str) -> str:
    """The full name that the kubelet asks for, by Docker's rule: `nginx` is `docker.io/library/nginx:latest`."""
    first, slash, _ = reference.partition("/")
    if not slash:
        reference = f"docker.io/library/{reference}"
    elif "." not in first and ":" not in first and first != "localhost":
        reference = f"docker.io/{reference}"
    last = reference.rpartition("/")[2]
    return reference if ":" in last or "@" in last else f"{reference}:latest"
