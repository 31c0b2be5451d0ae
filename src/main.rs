//! The `asa` command.

mod browse;
mod check;
mod classes;
mod cli;
mod control;
mod decode;
mod demo;
mod keys;
mod lines;
mod manifest;
mod node;
mod output;
mod pool;
mod reload;
mod run;
mod settings;

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;

fn main() -> ExitCode {
    let outcome = match cli::Cli::parse().command {
        cli::Command::Demo(args) => demo::run(&args),
        cli::Command::Run(args) => run::run(&args),
        cli::Command::Relay(args) => run::relay(&args),
        cli::Command::Check(args) => check::run(&args, &mut io::stdout().lock(), &mut io::stderr().lock()),
        cli::Command::Manifest(args) => manifest::run(&args, &mut io::stdout().lock(), &mut io::stderr().lock()),
        cli::Command::Decode(args) => decode(&args),
        cli::Command::Discover(args) => browse::discover(&args),
        cli::Command::Synchronize(args) => browse::synchronize(&args),
        cli::Command::Flood(args) => browse::flood(&args),
        cli::Command::GetFlood(args) => browse::get_flood(&args),
        cli::Command::Pool(args) => pool::run(args.command),
        cli::Command::Keys(args) => keys::run(args.command),
        cli::Command::Control(command) => control::run(command),
    };
    node::flush_log();
    match outcome {
        Ok(code) => ExitCode::from(code),
        // Whoever reads our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("asa: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Decodes a file, or standard input; 0 if everything was a message.
fn decode(args: &cli::DecodeArgs) -> anyhow::Result<u8> {
    let output = io::BufWriter::new(io::stdout().lock());
    let all = match &args.file {
        Some(path) => {
            let file = std::fs::File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
            decode::run(io::BufReader::new(file), output).with_context(|| format!("decoding {}", path.display()))?
        }
        None => decode::run(io::stdin().lock(), output)?,
    };
    Ok(u8::from(!all))
}
