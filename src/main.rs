//! The `asa` command.

mod decode;

fn main() -> std::io::Result<()> {
    decode::run(std::io::stdin().lock(), std::io::stdout().lock()).map(|_| ())
}
