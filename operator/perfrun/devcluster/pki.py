"""Certificates for every component, so that the cluster is secured the way real ones are.

OpenSSL makes them: elliptic keys cost milliseconds, and Debian has it.
"""

import base64
import json
import subprocess
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

import attrs

from perfrun.devcluster.layout import CLUSTER_DOMAIN, Layout

# Without a configuration of its own, `openssl req -x509` takes the system's, which makes each certificate an authority.
_CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"
_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_DAYS = "365"


@attrs.frozen
class Certificate:
    """What a certificate says: who, in which groups, and under which names it serves."""

    name: str
    user: str
    groups: tuple[str, ...] = ()
    serves: tuple[str, ...] = ()
    authority: str = "ca"


def certificates(layout: Layout) -> list[Certificate]:
    """All certificates of a cluster."""
    kubernetes = ("kubernetes", "kubernetes.default", "kubernetes.default.svc")
    api_names = (*kubernetes, f"kubernetes.default.svc.{CLUSTER_DOMAIN}", "localhost")
    api_addresses = ("127.0.0.1", str(layout.control_plane_ip), str(layout.api_service_ip))
    serves = (*(f"DNS:{name}" for name in api_names), *(f"IP:{address}" for address in api_addresses))
    masters = ("system:masters",)
    return [
        Certificate("apiserver", "kube-apiserver", serves=serves),
        Certificate("etcd", "etcd", serves=("IP:127.0.0.1",)),
        Certificate("etcd-client", "kube-apiserver"),
        Certificate("kubelet-client", "kube-apiserver-kubelet-client", masters),
        Certificate("front-proxy-client", "front-proxy-client", authority="front-proxy-ca"),
        Certificate("admin", "perfrun-dev-admin", masters),
        Certificate("controller-manager", "system:kube-controller-manager"),
        Certificate("scheduler", "system:kube-scheduler"),
        Certificate("kube-proxy", "system:kube-proxy"),
        Certificate("coredns", "perfrun:coredns"),
        Certificate("prometheus", "perfrun:prometheus"),
        *(
            Certificate(
                layout.node_name(number),
                f"system:node:{layout.node_name(number)}",
                ("system:nodes",),
                (f"IP:{layout.node_ip(number)}", f"DNS:{layout.node_name(number)}"),
            )
            for number in layout.node_numbers
        ),
    ]


def create(layout: Layout, executor: Executor) -> None:
    """Make authorities, keys and certificates under `layout.pki`.

    Raises:
        subprocess.CalledProcessError: OpenSSL refused.
    """
    pki = layout.pki
    pki.mkdir(mode=0o700)
    (pki / "openssl.cnf").write_text(_CONFIG)
    for authority in ("ca", "front-proxy-ca"):
        extensions = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign,digitalSignature")
        _request(pki, authority, f"/CN=perfrun-dev-{authority}", extensions)
    _openssl(
        pki, "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", "service-account.key"
    )
    _openssl(pki, "pkey", "-in", "service-account.key", "-pubout", "-out", "service-account.pub")
    for done in [executor.submit(_issue, pki, certificate) for certificate in certificates(layout)]:
        done.result()


def _issue(pki: Path, certificate: Certificate) -> None:
    subject = "".join(f"/O={group}" for group in certificate.groups) + f"/CN={certificate.user}"
    usage = "clientAuth,serverAuth" if certificate.serves else "clientAuth"
    extensions = [
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        f"extendedKeyUsage={usage}",
    ]
    if certificate.serves:
        extensions.append(f"subjectAltName={','.join(certificate.serves)}")
    authority = ("-CA", f"{certificate.authority}.crt", "-CAkey", f"{certificate.authority}.key")
    _request(pki, certificate.name, subject, extensions, authority)


def _request(pki: Path, name: str, subject: str, extensions: Sequence[str], authority: Sequence[str] = ()) -> None:
    added = [argument for extension in extensions for argument in ("-addext", extension)]
    files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
    _openssl(
        pki,
        "req",
        "-config",
        "openssl.cnf",
        "-x509",
        *_NEW_KEY,
        *files,
        "-days",
        _DAYS,
        "-subj",
        subject,
        *authority,
        *added,
    )


def _openssl(pki: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=pki, check=True, capture_output=True)


def write_kubeconfig(layout: Layout, certificate: str, path: Path) -> None:
    """A kubeconfig that needs no other file, readable by its owner only."""

    def content(file: str) -> str:
        return base64.b64encode((layout.pki / file).read_bytes()).decode()

    name = f"perfrun-{layout.name}"
    user = {"client-certificate-data": content(f"{certificate}.crt"), "client-key-data": content(f"{certificate}.key")}
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": layout.server, "certificate-authority-data": content("ca.crt")}}
        ],
        "users": [{"name": name, "user": user}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    path.touch(mode=0o600)
    # JSON is YAML, and every client reads it.
    path.write_text(json.dumps(document, indent=2))
