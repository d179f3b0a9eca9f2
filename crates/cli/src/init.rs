//! `salus init`: genesis, keys, certificates and configuration of every member, in one folder.
//!
//! For a real consortium each organisation keeps its own `member-i` and `keys/member-i` and gives
//! the others nothing but what stands in `consortium.toml`; for a trial they lie side by side.

use crate::args::InitArgs;
use crate::files::{read_text, store, write_secret};
use crate::layout::{Home, Layout};
use crate::output::{Failure, Report};
use crate::session::{link, rng};
use rand_core::CryptoRng;
use salus_client::drive::now;
use salus_crypto::kem::KemSecretKey;
use salus_crypto::secret::Secret;
use salus_crypto::sign::SigningKey;
use salus_link::{Authority, Consortium, Credential, MemberPlace, Subject};
use salus_proof::TrustPolicy;
use salus_wire::genesis::{Genesis, GenesisMember};
use salus_wire::ids::{ChainId, MemberIndex, PartyId, TimeMs, TimeSpan};
use salus_wire::limits::{MEMBERS_MAX, NAME_BYTES_MAX};
use salus_wire::tx::PartyKind;
use salus_wire::{Blob, Code, List, Roles, Tx, TxBody};
use serde::Deserialize;
use serde_json::json;
use std::net::{IpAddr, TcpListener};
use std::path::Path;

/// Milliseconds for which a gateway's registration holds: ten years.
const GATEWAY_VALID_MS: u64 = 10 * 365 * 86_400_000;

/// Who the members are to be.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Plan {
    name: String,
    member: Vec<PlannedMember>,
    #[serde(default)]
    gateway: Vec<PlannedGateway>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedMember {
    name: String,
    peers: String,
    rpc: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlannedGateway {
    /// The member that runs it.
    member: u16,
    /// Where devices reach it.
    mqtt: String,
}

/// A member's keys while they are being made.
struct MemberKeys {
    authority: Authority,
    registrar: SigningKey,
}

/// Runs the command.
pub(crate) fn run(args: &InitArgs) -> Result<Report, Failure> {
    let plan = match &args.plan {
        Some(path) => toml::from_str(&read_text(path)?)
            .map_err(|error| Failure::new(Code::ConfigInvalid, error.message().to_owned()))?,
        None => trial(args)?,
    };
    let consortium = make(&args.dir, &plan)?;
    let dir = args.dir.display();
    let chain = consortium.chain().0.to_string();
    let members = plan.member.len();
    Ok(Report::new(
        json!({ "dir": args.dir, "chain": chain, "members": members, "gateways": plan.gateway.len() }),
    )
    .line(format!("made `{dir}`: {members} members, chain {chain}"))
    .line("next:")
    .lines((0..members).map(|i| format!("  salus node --config {dir}/member-{i}/node.toml")))
    .lines(
        (0..plan.gateway.len()).map(|i| format!("  salus gateway --config {dir}/gateway-{i}/gateway.toml")),
    ))
}

/// A consortium for one machine.
pub(crate) fn trial(args: &InitArgs) -> Result<Plan, Failure> {
    let count = usize::from(args.members).saturating_mul(2).saturating_add(1);
    let mut ports = ports(args, count)?.into_iter();
    let mut address = || ports.next().map(|port| format!("{}:{port}", args.ip)).unwrap_or_default();
    let member = (0..args.members)
        .map(|i| PlannedMember { name: format!("Trial hospital {i}"), peers: address(), rpc: address() })
        .collect();
    let gateway = args.gateway.then(|| PlannedGateway { member: 0, mqtt: address() });
    Ok(Plan { name: "trial".to_owned(), member, gateway: gateway.into_iter().collect() })
}

/// Consecutive ports from the base, or free ones that the system names.
fn ports(args: &InitArgs, count: usize) -> Result<Vec<u16>, Failure> {
    if args.base_port != 0 {
        return Ok((args.base_port..).take(count).collect());
    }
    let listeners: std::io::Result<Vec<TcpListener>> =
        (0..count).map(|_| TcpListener::bind((args.ip, 0))).collect();
    let ports =
        listeners.and_then(|all| all.iter().map(|one| one.local_addr().map(|at| at.port())).collect());
    ports.map_err(|error| Failure::new(Code::Internal, format!("no free port on `{}`: {error}", args.ip)))
}

/// Makes the folder.
pub(crate) fn make(dir: &Path, plan: &Plan) -> Result<Consortium, Failure> {
    if plan.member.is_empty() || plan.member.len() > MEMBERS_MAX {
        return Err(Failure::new(
            Code::ConfigInvalid,
            format!("a consortium has 1 to {MEMBERS_MAX} members"),
        ));
    }
    if dir.exists() {
        return Err(Failure::new(Code::Usage, format!("`{}` exists already", dir.display())));
    }
    let layout = Layout::new(dir);
    let mut rng = rng()?;
    let now = now();
    let mut members = Vec::new();
    let mut places = Vec::new();
    let mut keys = Vec::new();
    for (index, planned) in (0_u16..).zip(&plan.member) {
        let (member, key) = make_member(&layout, index, planned, now, &mut rng)?;
        places.push(MemberPlace {
            name: planned.name.clone(),
            peers: planned.peers.clone(),
            rpc: planned.rpc.clone(),
            authority: key.authority.certificate_pem().to_owned(),
        });
        members.push(member);
        keys.push(key);
    }
    let genesis = Genesis {
        name: name(&plan.name)?,
        time: now,
        members: List::new(members).map_err(|error| Failure::new(Code::ConfigInvalid, error.to_string()))?,
    };
    let consortium = Consortium::new(genesis, places).map_err(|error| link(&error))?;
    write_public(&layout, &consortium)?;
    for (number, planned) in plan.gateway.iter().enumerate() {
        let owner = keys.get(usize::from(planned.member));
        let owner = owner.ok_or(Failure::new(Code::ConfigInvalid, "a gateway's member does not exist"))?;
        make_gateway(&layout, number, planned, consortium.chain(), owner, &mut rng)?;
    }
    Ok(consortium)
}

fn write_public(layout: &Layout, consortium: &Consortium) -> Result<(), Failure> {
    let text = consortium.to_toml().map_err(|error| link(&error))?;
    write(&layout.consortium(), text.as_bytes())?;
    let policy = TrustPolicy::from_genesis(consortium.genesis())
        .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
    write(&layout.policy(), policy.to_toml().as_bytes())
}

fn make_member(
    layout: &Layout,
    index: u16,
    planned: &PlannedMember,
    now: TimeMs,
    rng: &mut impl CryptoRng,
) -> Result<(GenesisMember, MemberKeys), Failure> {
    let home = layout.member(index);
    folders(&home)?;
    let member = MemberIndex::new(index);
    let (consensus, registrar, service) =
        (SigningKey::generate(rng), SigningKey::generate(rng), SigningKey::generate(rng));
    let custodian = KemSecretKey::generate(rng);
    let authority = Authority::generate(member, now).map_err(|error| link(&error))?;
    write_seed(&home.key("consensus.key"), &consensus.seed_for_storage())?;
    write_seed(&home.key("registrar.key"), &registrar.seed_for_storage())?;
    write_seed(&home.key("service.key"), &service.seed_for_storage())?;
    write_seed(&home.key("custodian.key"), &custodian.seed_for_storage())?;
    write_seed(&home.key("machine.key"), &Secret::random(rng))?;
    write_secret(&home.key("authority.key"), authority.danger_key_pem().as_bytes())?;
    write_secret(&home.key("authority.pem"), authority.certificate_pem().as_bytes())?;
    let node = issue(&authority, &Subject::Member(member), &[], now)?;
    write_credential(&node, &home.tls("node.pem"), &home.key("node.key"))?;
    let operator = issue(&authority, &Subject::Person(party(rng)), &[], now)?;
    write_credential(&operator, &home.key("operator.pem"), &home.key("operator.key"))?;
    write(&home.file("node.toml"), node_config(index, planned).as_bytes())?;
    let entry = GenesisMember {
        name: name(&planned.name)?,
        consensus: consensus.public_key(),
        registrar: registrar.public_key(),
        service: service.public_key(),
        custodian: custodian.public_key(),
        authority: authority.fingerprint(),
    };
    Ok((entry, MemberKeys { authority, registrar }))
}

fn make_gateway(
    layout: &Layout,
    number: usize,
    planned: &PlannedGateway,
    chain: ChainId,
    owner: &MemberKeys,
    rng: &mut impl CryptoRng,
) -> Result<(), Failure> {
    let name = format!("gateway-{number}");
    let home = layout.gateway(&name);
    folders(&home)?;
    let now = now();
    let party = party(rng);
    let key = SigningKey::generate(rng);
    write_seed(&home.key("signing.key"), &key.seed_for_storage())?;
    write_seed(&home.key("machine.key"), &Secret::random(rng))?;
    let credential = issue(&owner.authority, &Subject::Gateway(party), &gateway_names(&planned.mqtt), now)?;
    write_credential(&credential, &home.tls("gateway.pem"), &home.key("gateway.key"))?;
    let validity =
        TimeSpan::new(TimeMs::new(now.get().saturating_sub(60_000)), now.plus_ms(GATEWAY_VALID_MS));
    let validity = validity.ok_or(Failure::new(Code::Internal, "the clock is beyond its range"))?;
    let member = MemberIndex::new(planned.member);
    let body = TxBody::RegisterIdentity {
        party,
        kind: PartyKind::Gateway,
        member,
        key: key.public_key(),
        validity,
        roles: Roles::NONE,
        second: None,
    };
    store(&home.file("registration.tx"), &Tx::sign(chain, body, &owner.registrar))?;
    write(&home.file("gateway.toml"), gateway_config(&name, party, planned).as_bytes())
}

/// The names in a gateway's certificate: the one that devices of ours ask for, and the host at which
/// it is reached, which any other TLS client compares with the certificate.
fn gateway_names(mqtt: &str) -> Vec<String> {
    let host = mqtt.rsplit_once(':').map_or(mqtt, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let anywhere = host.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified());
    let reached = (!host.is_empty() && !anywhere).then(|| host.to_owned());
    [crate::device::GATEWAY_NAME.to_owned()].into_iter().chain(reached).collect()
}

fn node_config(index: u16, planned: &PlannedMember) -> String {
    format!(
        "member = {index}\n\
         consortium_file = \"../consortium.toml\"\n\
         data_dir = \"data\"\n\
         listen_rpc = \"{rpc}\"\n\
         listen_peers = \"{peers}\"\n\
         tls_cert_file = \"tls/node.pem\"\n\
         tls_key_file = \"../keys/member-{index}/node.key\"\n\
         machine_key_file = \"../keys/member-{index}/machine.key\"\n\
         consensus_key_file = \"../keys/member-{index}/consensus.key\"\n\
         service_key_file = \"../keys/member-{index}/service.key\"\n\
         custodian_key_file = \"../keys/member-{index}/custodian.key\"\n",
        rpc = planned.rpc,
        peers = planned.peers,
    )
}

fn gateway_config(name: &str, party: PartyId, planned: &PlannedGateway) -> String {
    format!(
        "party = \"{party}\"\n\
         member = {member}\n\
         consortium_file = \"../consortium.toml\"\n\
         registration_file = \"registration.tx\"\n\
         data_dir = \"data\"\n\
         listen_mqtt = \"{mqtt}\"\n\
         tls_cert_file = \"tls/gateway.pem\"\n\
         tls_key_file = \"../keys/{name}/gateway.key\"\n\
         machine_key_file = \"../keys/{name}/machine.key\"\n\
         signing_key_file = \"../keys/{name}/signing.key\"\n",
        member = planned.member,
        mqtt = planned.mqtt,
    )
}

/// A fresh random party id.
pub(crate) fn party(rng: &mut impl CryptoRng) -> PartyId {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    PartyId::new(bytes)
}

fn issue(
    authority: &Authority,
    subject: &Subject,
    names: &[String],
    now: TimeMs,
) -> Result<Credential, Failure> {
    authority.issue(subject, names, now).map_err(|error| link(&error))
}

fn write_credential(credential: &Credential, chain: &Path, key: &Path) -> Result<(), Failure> {
    write_secret(chain, credential.chain_pem().as_bytes())?;
    write_secret(key, credential.danger_key_pem().as_bytes())
}

fn write_seed(path: &Path, seed: &Secret<32>) -> Result<(), Failure> {
    salus_store::key_file::create(path, seed).map_err(|error| Failure::file(path, error))
}

fn folders(home: &Home) -> Result<(), Failure> {
    for folder in [&home.data(), &home.file("tls"), &home.keys] {
        std::fs::create_dir_all(folder).map_err(|error| Failure::file(folder, error))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    std::fs::write(path, bytes).map_err(|error| Failure::file(path, error))
}

fn name(text: &str) -> Result<Blob<NAME_BYTES_MAX>, Failure> {
    Blob::new(text.as_bytes().to_vec()).map_err(|_| Failure::new(Code::ConfigInvalid, "a name is too long"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_certified_for_the_host_at_which_it_is_reached() {
        for (mqtt, host) in [
            ("127.0.0.1:8883", Some("127.0.0.1")),
            ("[::1]:8883", Some("::1")),
            ("0.0.0.0:8883", None),
            ("[::]:8883", None),
        ] {
            let names = gateway_names(mqtt);
            assert_eq!(names.first().map(String::as_str), Some(crate::device::GATEWAY_NAME));
            assert_eq!(names.get(1).map(String::as_str), host, "{mqtt}");
        }
    }
}
