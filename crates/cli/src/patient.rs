//! `salus patient`: the wallet in which a patient keeps control. Nothing of it leaves this machine.

use crate::args::PatientCommand;
use crate::files::{load, store};
use crate::layout::Layout;
use crate::output::{Failure, Report};
use crate::session::rng;
use salus_client::Wallet;
use salus_gateway::GatewayConfig;
use salus_wire::Code;
use salus_wire::ids::PartyId;
use serde_json::json;
use std::path::Path;

/// Runs the command.
pub(crate) fn run(command: &PatientCommand) -> Result<Report, Failure> {
    let PatientCommand::New { place, gateway, out } = command;
    if out.exists() {
        return Err(Failure::new(Code::Usage, format!("`{}` exists already", out.display())));
    }
    let party = gateway_party(&Layout::new(&place.dir), gateway)?;
    store(out, &Wallet::generate(party, &mut rng()?))?;
    Ok(Report::new(json!({ "wallet": out, "gateway": party.to_string() }))
        .line(format!("made the wallet `{}`; whoever holds it decides who reads", out.display())))
}

/// Reads a wallet.
pub(crate) fn wallet(path: &Path) -> Result<Wallet, Failure> {
    load(path)
}

/// The party id of a gateway, from its configuration.
pub(crate) fn gateway_party(layout: &Layout, gateway: &str) -> Result<PartyId, Failure> {
    Ok(gateway_config(layout, gateway)?.party)
}

/// A gateway's configuration.
pub(crate) fn gateway_config(layout: &Layout, gateway: &str) -> Result<GatewayConfig, Failure> {
    let path = layout.gateway(gateway).file("gateway.toml");
    GatewayConfig::load(&path).map_err(|error| Failure::new(error.code(), error.to_string()))
}
