"""The command lines of etcd, API server, controller manager and scheduler.

Each flag that is not needed to start is here so that a test cluster behaves like a production one: Node and RBAC
authorization, verified kubelet certificates, aggregation, projected tokens of any audience.
"""

from pathlib import Path

from perfrun.devcluster.layout import CLUSTER_DOMAIN, CONTROL_PLANE, RUN, Layout
from perfrun.devcluster.processes import Programs

_ETCD = "https://127.0.0.1:2379"


def start_etcd(programs: Programs, layout: Layout) -> None:
    """In memory, and without waiting for the disk: a development cluster's data may die with it."""
    certificate, key, authority = (str(layout.pki / name) for name in ("etcd.crt", "etcd.key", "ca.crt"))
    programs.start(
        "etcd",
        CONTROL_PLANE,
        "etcd",
        f"--data-dir={RUN / 'etcd'}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={_ETCD}",
        f"--advertise-client-urls={_ETCD}",
        "--listen-peer-urls=https://127.0.0.1:2380",
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--trusted-ca-file={authority}",
        "--client-cert-auth",
        f"--peer-cert-file={certificate}",
        f"--peer-key-file={key}",
        f"--peer-trusted-ca-file={authority}",
        "--peer-client-cert-auth",
        "--log-level=warn",
    )


def start_api_server(programs: Programs, layout: Layout) -> None:
    """Start it; it waits for etcd by itself."""
    pki = layout.pki
    programs.start(
        "kube-apiserver",
        CONTROL_PLANE,
        "kube-apiserver",
        f"--etcd-servers={_ETCD}",
        f"--etcd-cafile={pki / 'ca.crt'}",
        f"--etcd-certfile={pki / 'etcd-client.crt'}",
        f"--etcd-keyfile={pki / 'etcd-client.key'}",
        "--secure-port=6443",
        f"--advertise-address={layout.control_plane_ip}",
        f"--client-ca-file={pki / 'ca.crt'}",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--service-account-key-file={pki / 'service-account.pub'}",
        f"--service-account-signing-key-file={pki / 'service-account.key'}",
        f"--service-account-issuer=https://kubernetes.default.svc.{CLUSTER_DOMAIN}",
        f"--service-cluster-ip-range={layout.services}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        # Node names are in no DNS that the API server could ask.
        "--kubelet-preferred-address-types=InternalIP",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'kubelet-client.crt'}",
        f"--kubelet-client-key={pki / 'kubelet-client.key'}",
        f"--requestheader-client-ca-file={pki / 'front-proxy-ca.crt'}",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki / 'front-proxy-client.crt'}",
        f"--proxy-client-key-file={pki / 'front-proxy-client.key'}",
    )


def start_controllers(programs: Programs, layout: Layout, kubeconfigs: Path) -> None:
    """Controller manager and scheduler, one of each and so without election."""
    pki = layout.pki
    programs.start(
        "kube-controller-manager",
        CONTROL_PLANE,
        "kube-controller-manager",
        f"--kubeconfig={kubeconfigs / 'controller-manager'}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--use-service-account-credentials=true",
        f"--root-ca-file={pki / 'ca.crt'}",
        f"--service-account-private-key-file={pki / 'service-account.key'}",
        f"--cluster-signing-cert-file={pki / 'ca.crt'}",
        f"--cluster-signing-key-file={pki / 'ca.key'}",
        # A node that is cut off counts as lost within seconds, as fault scenarios need.
        "--node-monitor-grace-period=4s",
        "--node-monitor-period=1s",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    )
    programs.start(
        "kube-scheduler",
        CONTROL_PLANE,
        "kube-scheduler",
        f"--kubeconfig={kubeconfigs / 'scheduler'}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
    )


def start_services(programs: Programs, layout: Layout, retention: str) -> None:
    """DNS and Prometheus."""
    programs.start("coredns", CONTROL_PLANE, "coredns", f"-conf={layout.root / 'Corefile'}")
    programs.start(
        "prometheus",
        CONTROL_PLANE,
        "prometheus",
        f"--config.file={layout.root / 'prometheus.yml'}",
        f"--storage.tsdb.path={layout.root / 'prometheus'}",
        f"--storage.tsdb.retention.time={retention}",
        # What is new, a pod too, is scraped at once rather than within five seconds more.
        "--scrape.discovery-reload-interval=1s",
        "--web.enable-lifecycle",
        "--web.enable-remote-write-receiver",
        f"--web.external-url={layout.prometheus_url}",
        "--log.level=warn",
    )
