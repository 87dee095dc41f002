# The image holds Node, the bundled programs and their licenses: no shell, package manager or node_modules. It is reproducible:
# `make docker` passes the commit's time as SOURCE_DATE_EPOCH. To pin a base image: --build-arg RUNTIME_IMAGE=...@sha256:...
ARG BUILD_IMAGE=docker.io/library/node:26.10.0-bookworm-slim
# Its entry point is /nodejs/bin/node; it holds no other program.
ARG RUNTIME_IMAGE=gcr.io/distroless/nodejs26-debian13:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY package.json package-lock.json .npmrc ./
# For a private registry: --secret id=npmrc,src=$HOME/.npmrc
RUN --mount=type=secret,id=npmrc,target=/root/.npmrc npm ci --ignore-scripts --loglevel=error
COPY scripts/bundle.ts scripts/
COPY src src
ARG SOURCE_DATE_EPOCH=0
RUN node scripts/bundle.ts /app \
  && chmod -R a=rX /app \
  && find /app -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH}" {} +

FROM ${RUNTIME_IMAGE}
ARG VERSION=0.0.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
LABEL org.opencontainers.image.title="kube-resource-api" \
  org.opencontainers.image.description="Reads a Kubernetes cluster's namespaces and deployments, and reads or sets replica counts, over mutual TLS." \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.source="https://github.com/fastiterator/probable-potato" \
  org.opencontainers.image.version="${VERSION}" \
  org.opencontainers.image.revision="${REVISION}" \
  org.opencontainers.image.created="${CREATED}"
COPY --from=build /app /app
ENV NODE_ENV=production
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["/nodejs/bin/node"]
CMD ["/app/main.js"]
