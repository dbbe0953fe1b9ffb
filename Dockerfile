# syntax=docker/dockerfile:1

FROM golang:1.26.8-trixie AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=devel COMMIT=unknown DATE=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    make build VERSION="$VERSION" COMMIT="$COMMIT" DATE="$DATE"

# The final image runs one static program as an account without rights. bash and
# head, which the health check uses, are in the base.
FROM debian:13-slim
LABEL org.opencontainers.image.title="Tributary" \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --system --gid 10001 tributary && \
    useradd --system --uid 10001 --gid 10001 --home-dir /var/lib/tributary --shell /usr/sbin/nologin tributary && \
    install -d -m 0700 -o 10001 -g 10001 /var/lib/tributary /var/lib/tributary/spool /var/lib/tributary-keys
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /src/bin/tributary /usr/local/bin/tributary
COPY --from=build /src/LICENSE /usr/share/doc/tributary/LICENSE
USER 10001:10001
WORKDIR /var/lib/tributary
EXPOSE 8080
STOPSIGNAL SIGTERM
ENTRYPOINT ["tributary"]
CMD ["serve"]
