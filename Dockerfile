# syntax=docker/dockerfile:1
# One image for every subcommand. `docker run -p 8545:8545 -p 8546:8546 weft` is `weft dev`; another
# subcommand takes its place: `docker run weft follow ...`.

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches outlive a build; the binary must not lie in one.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin weft && cp target/release/weft /weft

FROM debian:bookworm-slim
# Certificates for L1 nodes behind https.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --home-dir /data --shell /usr/sbin/nologin weft
COPY --from=build /weft /usr/local/bin/weft
USER weft
WORKDIR /data
VOLUME /data
# RPC of a sequencer, of the L1 in `weft dev`, of a follower.
EXPOSE 8545 8546 8547
STOPSIGNAL SIGINT
# Whichever of sequencer and follower runs.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=12 \
    CMD ["weft", "health", "--url", "http://127.0.0.1:8545", "--url", "http://127.0.0.1:8547"]
ENTRYPOINT ["weft"]
CMD ["dev", "--host", "0.0.0.0"]
