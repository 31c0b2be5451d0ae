# Recipes for daily work; continuous integration runs these same commands through .ci/run.

# Lists the recipes.
default:
    @just --list

# Format, lints, documentation, and the supply chain where cargo-deny is installed.
check:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps
    if command -v cargo-deny >/dev/null; then cargo deny check; else echo "cargo-deny is not installed: skipped" >&2; fi

# Everything that can be tested on this machine.
test:
    cargo test --workspace

# Gray and Briggs in one process; arguments go to the command, e.g. `just demo --sessions 3`.
demo *ARGS:
    cargo run --release -- demo {{ARGS}}

# Explores with one fuzz target for SECONDS (needs a nightly toolchain and cargo-fuzz).
fuzz TARGET SECONDS="600":
    cd grasp && cargo +nightly fuzz run {{TARGET}} -- -max_total_time={{SECONDS}}

# Our Gray and Briggs against the Python reference: GRASPY_DIR names a checkout of it.
interop:
    test -n "${GRASPY_DIR:-}" || { echo "set GRASPY_DIR to a checkout of the Python reference" >&2; exit 2; }
    cargo test --workspace interop -- --nocapture

# The benchmarks, each beside its baseline; BENCHMARKS.md says what to expect.
bench:
    cargo bench -p grasp --benches
    cargo bench -p asa --bench laboratory
    cargo bench -p asa --bench attacks
    cargo run --release -p grasp --example ten_thousand

# Rewrites recorded expectations from what the code does now; read the difference before committing it.
bless:
    ASA_BLESS=1 cargo test --workspace
    git diff --stat
