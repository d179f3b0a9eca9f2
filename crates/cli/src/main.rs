//! The binary `salus`: the composition root. It parses, runs one command, and prints what came of it.
#![forbid(unsafe_code)]

mod access;
mod account;
mod activity;
mod args;
mod bench;
mod confines;
mod consent;
mod demo;
mod device;
mod ecg;
mod emergency;
mod erase;
mod files;
mod grant;
mod init;
mod layout;
mod ledger;
mod output;
mod patient;
mod person;
mod policy;
mod read;
mod receipt;
mod recovery;
mod serve;
mod session;
mod status;
mod terms;
mod torture;
mod within;

use args::{Cli, Command};
use clap::Parser;
use output::{Failure, Report, finish};
use salus_wire::Code;
use std::process::ExitCode;

/// Gives memory back that is free. With the C library's allocator, each of a node's threads keeps the most
/// that it ever used, and a node grows for hours (`docs/performance.md`).
#[global_allocator]
static MEMORY: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Threads for work that blocks, such as files. After a stall each of them is used in turn and none ends,
/// so that their number only rises to this; each also holds memory that the allocator set aside for it.
const BLOCKING_THREADS_MAX: usize = 16;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Err(failure) = confines::prevent_core_files().and_then(|()| confines::allow_files()) {
        return finish(Err(failure), cli.json);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(Failure::new(Code::Internal, error.to_string())),
    };
    finish(result, cli.json)
}

async fn run(cli: &Cli) -> Result<Report, Failure> {
    match &cli.command {
        Command::Demo(args) => demo::run(args, cli.json).await,
        Command::Init(args) => init::run(args),
        Command::Node(args) => serve::node(&args.config).await,
        Command::Gateway(args) => serve::gateway(&args.config).await,
        Command::Person(command) => person::run(command).await,
        Command::Patient(command) => patient::run(command),
        Command::Device(command) => device::run(command).await,
        Command::Grant(command) => grant::run(command).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Erase(command) => erase::run(command).await,
        Command::Read(args) => read::run(args).await,
        Command::Emergency(command) => emergency::run(command).await,
        Command::Recovery(command) => recovery::run(command).await,
        Command::Activity(command) => activity::run(command).await,
        Command::Access(command) => access::run(command).await,
        Command::Receipt(command) => receipt::run(command),
        Command::Status(args) => status::run(args).await,
        Command::Explain { code } => status::explain(code),
        Command::Ledger(args) => ledger::run(args).await,
        Command::Bench(args) => bench::run(args, cli.json).await,
        Command::Torture(args) => torture::run(args, cli.json).await,
    }
}
