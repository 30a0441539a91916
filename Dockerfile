# The images that `cargo xtask image` makes, for people who have Docker:
#   docker build --target graceful-operator --tag graceful-operator .
#   docker build --target graceful-agent --tag graceful-agent .
# Alpine's Rust builds for musl, so the programs are static and the images hold nothing else.

FROM rust:1.95.0-alpine AS build
# ring compiles C and assembly.
RUN apk add --no-cache gcc musl-dev
WORKDIR /build
# Named one by one, so that target/ is never sent. Cargo reads every manifest of the workspace.
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY src src
COPY tests tests
COPY xtask xtask
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --package graceful-deployment \
        --bin graceful-operator --bin graceful-agent \
    && cp target/release/graceful-operator target/release/graceful-agent /

FROM scratch AS graceful-agent
COPY --from=build /graceful-agent /graceful-agent
USER 65532:65532
ENTRYPOINT ["/graceful-agent"]

FROM scratch AS graceful-operator
COPY --from=build /graceful-operator /graceful-operator
USER 65532:65532
ENTRYPOINT ["/graceful-operator"]
