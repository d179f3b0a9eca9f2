//! `salus node` and `salus gateway`: load the configuration, run until told to stop, log to standard
//! error. What is logged never holds patient data.

use crate::output::{Failure, Report};
use serde_json::json;
use std::path::Path;
use tracing_subscriber::EnvFilter;

/// What is logged when `SALUS_LOG` says nothing. What the TLS library warns of is said by strangers,
/// who could fill a disk with it.
const LOG_DEFAULT: &str = "warn,rustls=error,salus=info,salus_node=info,salus_gateway=info,salus_engine=info";

/// Runs one member.
pub(crate) async fn node(config: &Path) -> Result<Report, Failure> {
    log();
    let failure = |error: salus_node::NodeError| Failure::new(error.code(), chain(&error));
    let config = salus_node::NodeConfig::load(config).map_err(failure)?;
    let member = config.member;
    salus_node::run(config, salus_node::until_told()).await.map_err(failure)?;
    Ok(Report::new(json!({ "member": member.get(), "stopped": true }))
        .line(format!("member {member} stopped")))
}

/// Runs one gateway.
pub(crate) async fn gateway(config: &Path) -> Result<Report, Failure> {
    log();
    let failure = |error: salus_gateway::GatewayError| Failure::new(error.code(), chain(&error));
    let config = salus_gateway::GatewayConfig::load(config).map_err(failure)?;
    let party = config.party;
    salus_gateway::run(config, salus_node::until_told()).await.map_err(failure)?;
    Ok(Report::new(json!({ "gateway": party.to_string(), "stopped": true }))
        .line(format!("gateway {party} stopped")))
}

fn log() {
    let filter = EnvFilter::try_from_env("SALUS_LOG").unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT));
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init();
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
