# Two stages: build with Rust, run without it.
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked && strip --strip-debug -o /usr/local/bin/scriptorium target/release/scriptorium

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends curl && rm -rf /var/lib/apt/lists/* \
    && useradd --system --home-dir /var/lib/scriptorium --create-home scriptorium \
    && install -d -o scriptorium /var/lib/scriptorium/data
COPY --from=build /usr/local/bin/scriptorium /usr/local/bin/scriptorium
USER scriptorium
WORKDIR /var/lib/scriptorium
VOLUME /var/lib/scriptorium/data
ENV SCRIPTORIUM__SERVER__LISTEN=0.0.0.0:8080 SCRIPTORIUM__LOG__FORMAT=json
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s CMD curl --fail --silent http://127.0.0.1:8080/readyz
ENTRYPOINT ["scriptorium"]
CMD ["serve"]
