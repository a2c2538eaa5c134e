# Two images: the service (the last stage, what `docker build` makes by itself) and its backups, which need pg_dump.
#
#   docker build --build-arg VERSION=v1.2.3 -t github-pr-manager-enhanced:v1.2.3 .
#   docker run -p 3001:3001 github-pr-manager-enhanced:v1.2.3
#
# The second command needs no environment: the service then keeps everything in an SQLite file in the volume /data,
# answers webhooks with 503 until it has a WEBHOOK_SECRET, and says so at /ready.

FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY internal internal
COPY migrations migrations
# What the binary says of itself; the repository stays outside.
ARG VERSION=dev
ARG REVISION=unknown
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false \
    -ldflags "-s -w -X github.com/brandonlacoste9-tech/github-pr-manager/internal/cli.version=${VERSION} -X github.com/brandonlacoste9-tech/github-pr-manager/internal/cli.commit=${REVISION}" \
    -o /out/github-pr-manager ./cmd/github-pr-manager
RUN mkdir -p /out/data/profiles /out/tmp && chmod 1777 /out/tmp


# pg_dump and the service's own commands: `backup`, `restore`, `migrate`.
FROM postgres:15-alpine AS backup
COPY --from=build /out/github-pr-manager /usr/local/bin/github-pr-manager
RUN mkdir /backups && chown 65532:65532 /backups
VOLUME /backups
USER 65532:65532
WORKDIR /backups
# What is uploaded lies here first: /tmp is memory.
ENV DATA_DIR=/tmp TMPDIR=/backups
ENTRYPOINT ["/usr/local/bin/github-pr-manager"]
CMD ["backup", "--to", "/backups", "--every", "1h", "--keep", "30d"]
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GitHub PR Manager, backups" \
      org.opencontainers.image.description="Backs up what GitHub PR Manager keeps, and restores it" \
      org.opencontainers.image.source="https://github.com/brandonlacoste9-tech/github-pr-manager" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"


# Where `kill` comes from: one static program, which does what the name says that it is called by.
FROM busybox:1.37-musl AS busybox


# Nothing but the binary, the authorities that it trusts, and `kill`, so that
# `docker exec -it CONTAINER kill -USR2 1` writes a heap profile. No shell, no package manager, no libc.
FROM scratch AS service
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=busybox /bin/busybox /bin/kill
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/tmp /tmp
COPY --from=build /out/github-pr-manager /usr/local/bin/github-pr-manager
ENV PATH=/usr/local/bin:/bin \
    DATA_DIR=/data \
    HEAP_DUMP_DIR=/data/profiles
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 3001
# Process 1 is the binary itself: signals reach it, and nothing has to pass them on.
ENTRYPOINT ["/usr/local/bin/github-pr-manager"]
CMD ["serve"]
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 CMD ["/usr/local/bin/github-pr-manager", "healthcheck"]
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="GitHub PR Manager" \
      org.opencontainers.image.description="Manages GitHub pull requests by a policy file in each repository" \
      org.opencontainers.image.source="https://github.com/brandonlacoste9-tech/github-pr-manager" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
