//! Bad input from everybody who can send some: devices, thieves, peers, the disk and the operator.
//! Real processes, real certificates, real disks. Each gets a coded error that says whose fault it
//! is, nothing that was acknowledged is lost, nothing crashes, and memory stays bounded.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod bad_input;

use bad_input::consortium::{Consortium, SOON};
use bad_input::device::{Device, kept, settle};
use bad_input::disk::SmallDisk;
use bad_input::frames::{self, Kept};
use bad_input::until::until;
use bad_input::{garbage, mosquitto, stream};
use salus_gateway::Dialect;
use salus_wire::Code;

/// A consortium with a patient, and somebody who may read all of them.
async fn with_a_patient(consortium: &mut Consortium) {
    consortium.start().await;
    let (wallet, reader) = (consortium.people("patient.wallet"), consortium.people("reader.person"));
    let grant = consortium.people("all.grant");
    consortium.salus(&["patient", "new", "--out", &wallet]);
    let person = consortium.salus(&["person", "register", "--out", &reader]);
    let party = person["party"].as_str().unwrap();
    consortium.salus(&["grant", "create", "--wallet", &wallet, "--to", party, "--out", &grant]);
}

/// Waits until the gateway has read its registry.
async fn taken_up(device: &Device) -> Kept {
    let mut client = device.connect(Dialect::V5).await.unwrap();
    let first = device.beat(20);
    until("the gateway knows the device", SOON, async || {
        match bad_input::device::settle(&mut client, first.clone()).await.result {
            Ok(()) => Some(()),
            Err(nack) => {
                assert_eq!(nack.code, Some(Code::DeviceUnknown));
                None
            }
        }
    })
    .await;
    client.finish().await.unwrap();
    Kept::from([(device.id.to_string(), 20)])
}

async fn one_more(device: &Device, sequence: u64) -> Kept {
    let mut client = device.connect(Dialect::V5).await.unwrap();
    kept(&mut client, device.beat(sequence)).await;
    client.finish().await.unwrap();
    Kept::from([(device.id.to_string(), sequence)])
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_devices_and_garbage_on_every_port() {
    let mut consortium = Consortium::build();
    with_a_patient(&mut consortium).await;
    let monitor = Device::enrol(&consortium, "monitor.device");
    let oximeter = Device::enrol(&consortium, "oximeter.device");
    let mut all = taken_up(&monitor).await;
    all.extend(taken_up(&oximeter).await);
    all.extend(frames::each_bad_frame_has_its_code(&consortium, &monitor, &oximeter).await);
    all.extend(frames::oversized_and_cut_packets(&monitor).await);
    frames::strangers(&consortium, &monitor).await;
    all.extend(mosquitto::publishes_and_is_refused(&consortium, &oximeter));
    let (streamed, blocks) = stream::revoked_while_streaming(&consortium, &oximeter, &monitor).await;
    eprintln!("a revoked device was refused {blocks} blocks later");
    all.extend(streamed);
    frames::read_back(&consortium, &all).await;
    let grown = garbage::on_every_port(&mut consortium, &monitor, &all).await;
    eprintln!("bytes of memory more: {grown:?}");
    consortium.all_run();
    all.extend(one_more(&monitor, 5_000).await);
    frames::read_back(&consortium, &all).await;
    eprintln!("{} frames acknowledged, all read back once", all.len());
}

/// Sends frames as fast as they are taken.
async fn burst(device: &Device, first: u64, count: u64) -> Kept {
    let mut client = device.connect(Dialect::V5).await.unwrap();
    for sequence in first..first + count {
        client.publish(device.beat(sequence)).await.unwrap();
    }
    assert!(client.finish().await.unwrap().iter().all(|settled| settled.result.is_ok()));
    (first..first + count).map(|sequence| (device.id.to_string(), sequence)).collect()
}

/// Sends frames until one is refused; says what was kept and the number of the one that was not.
async fn until_refused(device: &Device, first: u64) -> (Kept, u64) {
    let mut client = device.connect(Dialect::V5).await.unwrap();
    let mut all = Kept::new();
    for sequence in first..first + 1_000 {
        match settle(&mut client, device.beat(sequence)).await.result {
            Ok(()) => all.insert((device.id.to_string(), sequence)),
            Err(nack) => {
                assert_eq!(nack.code, Some(Code::QueueFull), "{nack:?}");
                return (all, sequence);
            }
        };
    }
    panic!("a gateway with a full disk takes everything");
}

/// What is acknowledged is not sealed before its key shares are kept, and waits for room, also over
/// a restart.
async fn no_room_for_key_shares(consortium: &mut Consortium, disk: &SmallDisk, device: &Device) -> Kept {
    const WAITS: &str = "nothing is sealed for now";
    disk.fill();
    let mut all = taken_up(device).await;
    for life in 1..=2 {
        until("the gateway says that it waits", SOON, async || {
            (consortium.log("gateway-0").matches(WAITS).count() >= life).then_some(())
        })
        .await;
        all.extend(one_more(device, 1_400 + u64::try_from(life).unwrap()).await);
        let lives = consortium.log("gateway-0").matches(WAITS).count();
        assert_eq!(lives, life, "it says so once: {}", consortium.log("gateway-0"));
        if life == 1 {
            consortium.stop("gateway-0").await;
            consortium.start_gateway();
            consortium.gateway_listens().await;
        }
    }
    assert!(consortium.log("gateway-0").contains("SAL-4012"));
    disk.free();
    frames::read_back(consortium, &all).await;
    all
}

/// The gateway refuses what it cannot keep, lives on, and takes frames when there is room again.
async fn the_gateways_disk_is_full(consortium: &mut Consortium, disk: &SmallDisk, device: &Device) -> Kept {
    // What was just acknowledged is not sealed yet when the room goes.
    let mut all = burst(device, 1_500, 60).await;
    disk.fill();
    let (more, first) = until_refused(device, 2_000).await;
    all.extend(more);
    let log = consortium.log("gateway-0");
    assert!(log.contains("SAL-4012") && log.contains(Code::QueueDisk.next_step()), "{log}");
    // Neither now nor after a restart on the full disk is anything lost, or taken that is not kept.
    consortium.stop("gateway-0").await;
    consortium.start_gateway();
    consortium.gateway_listens().await;
    let (more, refused) = until_refused(device, first).await;
    all.extend(more);
    consortium.all_run();
    disk.free();
    let mut client = device.connect(Dialect::V5).await.unwrap();
    let again = device.beat(refused);
    until("frames are taken again", SOON, async || settle(&mut client, again.clone()).await.result.ok())
        .await;
    all.insert((device.id.to_string(), refused));
    all
}

/// A member stops in order and says why; the others carry on; it comes back and is of use.
async fn a_members_disk_is_full(consortium: &mut Consortium, disk: &SmallDisk, device: &Device) -> Kept {
    disk.fill();
    for attempt in ["running", "started again"] {
        let ended = consortium.ended("member-3").await;
        let log = consortium.log("member-3");
        assert_eq!(ended.code(), Some(1), "{attempt}: {log}");
        let said = log.rsplit("error: ").next().unwrap();
        assert!(said.starts_with("SAL-1013") && said.contains("full"), "{attempt}: {log}");
        assert!(said.contains("to blame: this process") && said.contains("free space"), "{attempt}: {said}");
        if attempt == "running" {
            consortium.start_member(3);
        }
    }
    let mut all = one_more(device, 3_000).await;
    frames::read_back_at_least(consortium, &all).await;
    disk.free();
    consortium.start_member(3);
    let height = consortium.height(0);
    until("the member catches up", SOON, async || (consortium.height(3) >= height).then_some(())).await;
    // Without another member nothing goes on but with this one.
    consortium.stop("member-2").await;
    all.extend(one_more(device, 3_001).await);
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_says_so() {
    // The small disks go before the folder that they are in.
    let mut consortium = Consortium::build();
    let gateways = SmallDisk::under(&consortium, "gateway-0/data", 16);
    let deposits = SmallDisk::under(&consortium, "gateway-0/data/deposits", 1);
    let members = SmallDisk::under(&consortium, "member-3/data", 256);
    with_a_patient(&mut consortium).await;
    let device = Device::enrol(&consortium, "monitor.device");
    let mut all = no_room_for_key_shares(&mut consortium, &deposits, &device).await;
    all.extend(the_gateways_disk_is_full(&mut consortium, &gateways, &device).await);
    frames::read_back(&consortium, &all).await;
    all.extend(a_members_disk_is_full(&mut consortium, &members, &device).await);
    frames::read_back(&consortium, &all).await;
    consortium.all_run();
}

/// An entry that nobody knows, in files that are right otherwise.
#[test]
fn an_unknown_entry_of_a_file_is_named() {
    let consortium = Consortium::build();
    let plan = consortium.people("plan.toml");
    std::fs::write(
        &plan,
        "name = \"x\"\n[[member]]\nname = \"a\"\npeers = \"127.0.0.1:1\"\nrpc = \"127.0.0.1:2\"\n",
    )
    .unwrap();
    let fresh = consortium.people("fresh");
    let at = |path: &str| consortium.dir.join(path).display().to_string();
    let (node, gateway) = (at("member-0/node.toml"), at("gateway-0/gateway.toml"));
    let (shared, policy) = (at("consortium.toml"), at("trust-policy.toml"));
    let cases: [(&str, &[&str]); 5] = [
        (&plan, &["init", "--plan", &plan, "--dir", &fresh]),
        (&node, &["node", "--config", &node]),
        (&gateway, &["gateway", "--config", &gateway]),
        (&policy, &["receipt", "verify", &policy, "--policy", &policy]),
        (&shared, &["node", "--config", &at("member-1/node.toml")]),
    ];
    for (path, command) in cases {
        let good = std::fs::read_to_string(path).unwrap();
        std::fs::write(path, format!("colour = \"red\"\n{good}")).unwrap();
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_salus")).args(command).output().unwrap();
        let said = bad_input::consortium::said(&output);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {said}");
        assert!(said.contains("SAL-5001") && said.contains("`colour`"), "{command:?}: {said}");
        assert!(said.contains("to blame: caller") && said.contains("correct the named entry"), "{said}");
        std::fs::write(path, good).unwrap();
    }
}
