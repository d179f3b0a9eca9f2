//! The command line: what may be asked, in words that a hospital engineer knows. Nothing acts here.

mod activity;
mod emergency;
mod erase;
mod policy;
mod recovery;
mod terms;
mod within;

use clap::{Args, Parser, Subcommand};
use salus_wire::ObservationCode;
use salus_wire::ids::PartyId;
use std::net::IpAddr;
use std::path::PathBuf;

pub(crate) use activity::{ActivityArgs, ActivityCommand};
pub(crate) use emergency::EmergencyCommand;
pub(crate) use erase::EraseCommand;
pub(crate) use policy::{ExplainArgs, NamedArg, PolicyCommand};
pub(crate) use recovery::RecoveryCommand;
pub(crate) use terms::{ClassArg, PurposeArg, RoleArg, RoleAt, SensitivityArg, TermsArgs};
pub(crate) use within::WithinArgs;

/// Keep medical readings so that no single organisation can lose, read or rewrite them.
///
/// Start with `salus demo`: it runs four organisations, a gateway and devices on this machine and
/// shows the whole road. Every command takes --json. Exit codes: 0 done, 1 refused or failed,
/// 2 wrong usage, 3 a promise of Salus was broken.
#[derive(Parser)]
#[command(name = "salus", version, about, long_about, max_term_width = 100)]
pub(crate) struct Cli {
    /// Print one JSON value on standard output instead of text.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run the whole road on this machine: members, gateway, devices, readers, failures.
    Demo(DemoArgs),
    /// Make a consortium: genesis, keys, certificates and configuration of every member.
    Init(InitArgs),
    /// Run one member: validator, store and custodian.
    Node(ConfigArg),
    /// Run one gateway: devices in, sealed segments out.
    Gateway(ConfigArg),
    /// Register and revoke people who read.
    #[command(subcommand)]
    Person(PersonCommand),
    /// Make the wallet in which a patient keeps control.
    #[command(subcommand)]
    Patient(PatientCommand),
    /// Enrol, stream from and revoke devices.
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Permit somebody to read, withdraw it, list what was permitted.
    #[command(subcommand)]
    Grant(GrantCommand),
    /// Say what an institution allows its own people, beside what patients grant.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Have everything of a patient destroyed, for good, with signed receipts.
    #[command(subcommand)]
    Erase(EraseCommand),
    /// Read under a grant: record the access, gather key shares and fragments, verify.
    Read(ReadArgs),
    /// Prepare for an emergency, read in one, and review what was read.
    #[command(subcommand)]
    Emergency(EmergencyCommand),
    /// Prepare for the loss of a wallet, and get it back with guardians.
    #[command(subcommand)]
    Recovery(RecoveryCommand),
    /// Review what a member's people looked at.
    #[command(subcommand)]
    Activity(ActivityCommand),
    /// See who read what.
    #[command(subcommand)]
    Access(AccessCommand),
    /// Check receipts, offline.
    #[command(subcommand)]
    Receipt(ReceiptCommand),
    /// Show how each member is.
    Status(StatusArgs),
    /// Show what is on the ledger, decoded.
    Ledger(LedgerArgs),
    /// Explain an error code.
    Explain {
        /// Such as SAL-2009.
        code: String,
    },
    /// Measure this build on this machine, beside its goals.
    Bench(BenchArgs),
    /// Kill, freeze and cut off random processes and spoil their disks while a device streams, and see
    /// that nothing acknowledged is lost and members agree.
    Torture(TortureArgs),
}

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Folder for everything the demo makes; must not exist yet. A new one under the system's
    /// temporary directory when left out.
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// Leave the consortium running and print how to talk to it.
    #[arg(long)]
    pub(crate) keep: bool,
    /// Keep the folder after the demo, for looking at it.
    #[arg(long)]
    pub(crate) keep_files: bool,
}

#[derive(Args)]
pub(crate) struct InitArgs {
    /// Folder to make; must not exist yet.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// A TOML file that lists the members: `name = "…"` and `[[member]]` entries with `name`,
    /// `peers` and `rpc` addresses.
    #[arg(long, conflicts_with_all = ["members", "ip", "base_port"])]
    pub(crate) plan: Option<PathBuf>,
    /// For a trial on one machine: how many members.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) members: u16,
    /// For a trial: the address every member listens on.
    #[arg(long, default_value = "127.0.0.1")]
    pub(crate) ip: IpAddr,
    /// For a trial: the first of 2·members+1 consecutive ports; 0 takes free ones.
    #[arg(long, default_value_t = 7_100)]
    pub(crate) base_port: u16,
    /// Also make one gateway, of member 0.
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub(crate) gateway: bool,
}

#[derive(Args)]
pub(crate) struct ConfigArg {
    /// The TOML file that `salus init` wrote.
    #[arg(long)]
    pub(crate) config: PathBuf,
}

/// Where the consortium is, and as whom to talk to it.
#[derive(Args, Clone)]
pub(crate) struct Place {
    /// The consortium folder made by `salus init`.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// The member asked first.
    #[arg(long, default_value_t = 0)]
    pub(crate) member: u16,
}

#[derive(Subcommand)]
pub(crate) enum PersonCommand {
    /// Register a person or application with a member; writes the file that holds their keys.
    Register {
        #[command(flatten)]
        place: Place,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
        /// Days for which the registration holds.
        #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: u64,
        /// What they do at the member: grants and policies may name it.
        #[arg(long = "role", value_enum, num_args = 1.., conflicts_with = "application")]
        roles: Vec<RoleArg>,
        /// Also make a second factor and write it here: it breaks the glass in an emergency, together with the
        /// other file. It belongs on a token of its own.
        #[arg(long, conflicts_with = "application")]
        second_factor: Option<PathBuf>,
        /// Register an application instead of a person.
        #[arg(long)]
        application: bool,
    },
    /// End a person's registration.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// Their party id.
        #[arg(long)]
        party: PartyId,
    },
}

#[derive(Subcommand)]
pub(crate) enum PatientCommand {
    /// Make a wallet for one patient with one gateway. Nothing is sent anywhere.
    New {
        #[command(flatten)]
        place: Place,
        /// The gateway's folder name within the consortium folder.
        #[arg(long, default_value = "gateway-0")]
        gateway: String,
        /// The file to write. Whoever holds it is the patient.
        #[arg(long)]
        out: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum DeviceCommand {
    /// Enrol a device and assign it to a patient; writes the file that holds its keys.
    Enrol {
        #[command(flatten)]
        place: Place,
        /// The gateway's folder name within the consortium folder.
        #[arg(long, default_value = "gateway-0")]
        gateway: String,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
        /// Days for which the assignment holds.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_650))]
        days: u64,
        /// Keep everything that it reads under a sensitive class, which no general grant opens.
        #[arg(long, value_enum)]
        sensitivity: Option<SensitivityArg>,
        /// With a patient's first device: give these roles of the member a grant of the ordinary classes for
        /// treatment, for as long as the assignment holds. The patient sees it like any other, and can
        /// withdraw it. Its file is written beside the device's.
        #[arg(long, value_enum, num_args = 1.., default_values = ["physician", "nurse"])]
        treatment: Vec<RoleArg>,
        /// Give no such grant.
        #[arg(long, conflicts_with = "treatment")]
        no_treatment: bool,
        #[command(flatten)]
        within: WithinArgs,
    },
    /// Stream a recording from an enrolled device over MQTT, each frame signed.
    Stream {
        /// The device's file.
        #[arg(long)]
        device: PathBuf,
        /// The recording: little-endian signed 16-bit samples; the ECG that comes with Salus when
        /// left out.
        #[arg(long)]
        recording: Option<PathBuf>,
        /// Samples per second of the recording.
        #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Samples per frame.
        #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        frame: u32,
        /// Seconds of the recording to send; all of it when left out.
        #[arg(long)]
        seconds: Option<u32>,
        /// Send at the pace of the recording instead of as fast as the gateway takes it.
        #[arg(long)]
        real_time: bool,
    },
    /// Sign a recording without sending it: one file for each frame, for any MQTT client to publish.
    Sign {
        /// The device's file.
        #[arg(long)]
        device: PathBuf,
        /// The folder for the frames; made when absent.
        #[arg(long)]
        out: PathBuf,
        /// The recording: little-endian signed 16-bit samples; the ECG that comes with Salus when
        /// left out.
        #[arg(long)]
        recording: Option<PathBuf>,
        /// Samples per second of the recording.
        #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        rate: u32,
        /// Samples per frame.
        #[arg(long, default_value_t = 360, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        frame: u32,
        /// Seconds of the recording to sign; all of it when left out.
        #[arg(long)]
        seconds: Option<u32>,
    },
    /// Write a device's certificate, key and authority as PEM files, for any MQTT client to connect
    /// with.
    Credentials {
        /// The device's file.
        #[arg(long)]
        device: PathBuf,
        /// The folder for the files; made when absent.
        #[arg(long)]
        out: PathBuf,
    },
    /// End a device's enrolment.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The device's file.
        #[arg(long)]
        device: PathBuf,
    },
}

#[derive(Subcommand)]
pub(crate) enum GrantCommand {
    /// Permit somebody to read; writes the file that the grantee needs.
    Create {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        #[command(flatten)]
        terms: TermsArgs,
        /// The file to write, for the grantee.
        #[arg(long)]
        out: PathBuf,
        #[command(flatten)]
        within: WithinArgs,
    },
    /// Withdraw a grant and give a narrower one in its place, under the next number.
    ///
    /// The old one is withdrawn first, so that nothing wider is ever open in between.
    Replace {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet; it is updated.
        #[arg(long)]
        wallet: PathBuf,
        /// The number in `salus grant list` of the grant that ends.
        #[arg(long)]
        index: u16,
        #[command(flatten)]
        terms: TermsArgs,
        /// The file to write, for the grantee.
        #[arg(long)]
        out: PathBuf,
    },
    /// Say whether a grant would permit somebody to read, and by which clause. Asks no custodian.
    Explain {
        #[command(flatten)]
        place: Place,
        /// The grant file.
        #[arg(long)]
        grant: PathBuf,
        /// Who would read.
        #[arg(long)]
        party: PartyId,
        /// What they would read; everything granted when left out.
        #[arg(long = "class", value_enum, num_args = 1..)]
        classes: Vec<ClassArg>,
        /// Which kinds of it; every kind granted when left out.
        #[arg(long = "code", num_args = 1..)]
        codes: Vec<ObservationCode>,
        /// For what purpose.
        #[arg(long, value_enum, default_value = "treat")]
        purpose: PurposeArg,
    },
    /// Write a grant as a FHIR R4 Consent (spec/consent.md), as the ledger holds it.
    Consent {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
        /// The grant's number in `salus grant list`.
        #[arg(long)]
        index: u16,
        /// Whose consent it is, such as Patient/123; from the consent that the grant was made of when
        /// left out.
        #[arg(long)]
        patient: Option<String>,
    },
    /// Withdraw a grant.
    Revoke {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
        /// The grant's number in `salus grant list`.
        #[arg(long)]
        index: u16,
    },
    /// List every grant, with the proof that there are no others.
    List {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct ReadArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The reader's file, from `salus person register`.
    #[arg(long)]
    pub(crate) person: PathBuf,
    /// The grant file, from `salus grant create`.
    #[arg(long)]
    pub(crate) grant: PathBuf,
    /// What to read; everything granted when left out.
    #[arg(long = "class", value_enum, num_args = 1..)]
    pub(crate) classes: Vec<ClassArg>,
    /// Which kinds of it, such as 8867-4 or mdc:131329; every kind granted when left out.
    #[arg(long = "code", num_args = 1..)]
    pub(crate) codes: Vec<ObservationCode>,
    /// For what purpose.
    #[arg(long, value_enum, default_value = "treat")]
    pub(crate) purpose: PurposeArg,
    /// Write waveform samples here, as little-endian signed 16-bit.
    #[arg(long)]
    pub(crate) waveform: Option<PathBuf>,
    /// Write the receipt of the first reading here.
    #[arg(long)]
    pub(crate) receipt: Option<PathBuf>,
    /// Print every reading.
    #[arg(long)]
    pub(crate) print: bool,
}

#[derive(Subcommand)]
pub(crate) enum AccessCommand {
    /// List every access to a patient's data, with the proof that there are no others.
    List {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
    },
    /// Account for every disclosure of the last six years (45 CFR 164.528): when, to whom, of what, why.
    ///
    /// Several of one description to one recipient for one purpose are shown as a series. It is complete as
    /// of the height that it names. An access that custodians then refused is accounted for, too.
    Account {
        #[command(flatten)]
        place: Place,
        /// The patient's wallet.
        #[arg(long)]
        wallet: PathBuf,
        /// Show each disclosure by itself.
        #[arg(long)]
        each: bool,
        /// Leave out what the rule does not demand: treatment, payment, operations, the patient's own.
        #[arg(long)]
        required: bool,
        /// Write it here as CSV as well.
        #[arg(long)]
        csv: Option<PathBuf>,
    },
}

#[derive(Subcommand)]
pub(crate) enum ReceiptCommand {
    /// Check a receipt against a trust policy. Needs no network.
    Verify {
        /// The receipt.
        receipt: PathBuf,
        /// The trust-policy file that `salus init` wrote.
        #[arg(long)]
        policy: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) place: Place,
}

#[derive(Args)]
pub(crate) struct LedgerArgs {
    #[command(flatten)]
    pub(crate) place: Place,
    /// The first height to show.
    #[arg(long, default_value_t = 1)]
    pub(crate) from: u64,
}

#[derive(Args)]
pub(crate) struct TortureArgs {
    /// How many times something is to go wrong; 20 when neither this nor minutes are given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) rounds: Option<u32>,
    /// End with the first round that ends after so many minutes.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) minutes: Option<u32>,
    /// Seed of the choices; printed, so that a failure can be tried again.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// Write what was done here as JSON as well, also when a promise was broken.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// Instead of rounds: let the ledger grow to so many MiB of blocks at each member, then kill and
    /// restart members, and fail when one takes longer than 5 s to be back.
    #[arg(long, conflicts_with_all = ["rounds", "minutes", "seed", "out"])]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) restart_with_ledger_mib: Option<u32>,
    /// How many restarts to measure then.
    #[arg(long, default_value_t = 20, requires = "restart_with_ledger_mib")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) times: u16,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) what: Option<BenchCommand>,
    /// Seconds to load the ledger and the gateway, each.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// Write the figures here as JSON as well.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Find the sustainable rate of transactions and of frames, then offer twice as much.
    Overload(OverloadArgs),
    /// Measure consent: a withdrawal until everybody refuses, a read with all members and with one less, and
    /// what a release costs a custodian.
    Consent(ConsentArgs),
    /// Put a part of the sustainable load on for a long time, with random faults, and see whether memory,
    /// open files and threads stay flat.
    Soak(SoakArgs),
}

#[derive(Args)]
pub(crate) struct SoakArgs {
    /// For how long.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=10_080))]
    pub(crate) minutes: u64,
    /// How much of the sustainable load, in percent.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) load: u8,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// What the faults are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Write what was seen of each process here.
    #[arg(long, default_value = "soak.csv")]
    pub(crate) csv: PathBuf,
    /// Write the figures here as JSON as well.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ConsentArgs {
    /// Grants that are withdrawn, one after the other.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    pub(crate) revocations: u16,
    /// Reads with all members, and again with one of them killed.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) reads: u16,
    /// Releases of each custodian whose cost is measured.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(100..=20_000))]
    pub(crate) releases: u32,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// Write the figures here as JSON as well.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct OverloadArgs {
    /// Seconds of each of the six loads.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) seconds: u64,
    /// How many organisations take part.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(4..=16))]
    pub(crate) members: u16,
    /// Callers that submit transactions, each with a certificate and a connection of its own.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) callers: u16,
    /// Devices that stream; a gateway takes at most 1000 frames a second of each.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u16).range(1..=500))]
    pub(crate) devices: u16,
    /// Write the figures here as JSON as well.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}
