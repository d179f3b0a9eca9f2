//! What processes listen on and how much memory they hold, as the kernel says.

use super::consortium::{Consortium, MEMBERS};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;

/// State of a listening socket in `/proc/net/tcp`.
const LISTEN: &str = "0A";

/// Every port that the configuration files name, by process; what else listens is a finding.
pub(crate) fn configured(consortium: &Consortium) -> BTreeMap<String, Vec<SocketAddr>> {
    let member = |member: usize| {
        let name = format!("member-{member}");
        let at = |entry| consortium.address(&name, "node.toml", entry);
        let addresses = vec![at("listen_rpc"), at("listen_peers")];
        (name, addresses)
    };
    let gateway = ("gateway-0".to_owned(), vec![consortium.mqtt()]);
    (0..MEMBERS).map(member).chain([gateway]).collect()
}

/// Fails when a process listens anywhere but where its configuration says, or does not there.
pub(crate) fn nothing_else_listens(consortium: &Consortium, configured: &BTreeMap<String, Vec<SocketAddr>>) {
    for (name, addresses) in configured {
        let expected: BTreeSet<u16> = addresses.iter().map(SocketAddr::port).collect();
        assert_eq!(listening(consortium.pid(name)), expected, "{name}");
    }
}

/// The ports on which a process listens.
fn listening(pid: u32) -> BTreeSet<u16> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = links.filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    let sockets: BTreeSet<String> = links.map(|link| link.display().to_string()).collect();
    ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).into_iter())
        .flat_map(|table| table.lines().skip(1).map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = fields[1].rsplit_once(':').unwrap().1;
            let ours = sockets.contains(&format!("socket:[{}]", fields[9]));
            (fields[3] == LISTEN && ours).then(|| u16::from_str_radix(port, 16).unwrap())
        })
        .collect()
}

/// Bytes of memory that a process holds.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() * 1_024
}
