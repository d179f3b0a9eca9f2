//! What the operator's command leaves, and what the running gateway makes of it.

use super::*;
use crate::quarantine::Quarantined;
use crate::registry::tests::{PARTY, enrolled, machine_key};
use rand::SeedableRng;
use rand::rngs::StdRng;
use salus_crypto::chain::ChainSeed;
use salus_crypto::secret::Secret;
use salus_wire::{Blob, TimeMs, encode};
use std::num::NonZeroU32;

const ORDER: GrantTag = GrantTag(salus_crypto::chain::ChainTag::from_digest(Digest::from_bytes([6; 32])));

fn config(folder: &Path) -> GatewayConfig {
    let machine = folder.join("machine.key");
    key_file::create(&machine, machine_key().secret_for_storage()).unwrap();
    let data = folder.join("data");
    fs::create_dir(&data).unwrap();
    let nowhere = folder.join("none");
    GatewayConfig {
        party: PARTY,
        member: MemberIndex::new(0),
        consortium_file: nowhere.clone(),
        registration_file: nowhere.clone(),
        data_dir: data,
        listen_mqtt: "127.0.0.1:0".parse().unwrap(),
        tls_cert_file: nowhere.clone(),
        tls_key_file: nowhere.clone(),
        machine_key_file: machine,
        signing_key_file: nowhere,
        cadence_ms: 1,
        clock_behind_ms_max: 1,
        clock_ahead_ms_max: 1,
        queue_bytes_max: 1,
        connections_max: 1,
        device_frames_per_s: NonZeroU32::MIN,
    }
}

fn chain(n: u8) -> ChainAnchor {
    ChainSeed::new(Secret::from_bytes([n; 32])).anchor()
}

fn device(n: u8) -> DeviceId {
    DeviceId::new([n; 16])
}

fn refused(folder: &Path, number: u8) {
    let frame = Blob::new(vec![1]).unwrap();
    let refused =
        Quarantined { code: Code::ClockOff, device: device(number), received: TimeMs::new(1), frame };
    let sealed = machine_key().seal(b"salus/quarantine/v1", &encode(&refused), &mut StdRng::seed_from_u64(1));
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{number:016x}.frame")), sealed).unwrap();
}

#[test]
fn one_patient_is_forgotten_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path());
    let (registry_folder, mut rng) = (config.registry_folder(), StdRng::seed_from_u64(3));
    // Device 1 is patient 9's, device 2 was theirs and is patient 8's now, device 3 is patient 8's.
    let mut second = enrolled(2, 9, (0, 1_000));
    let later = enrolled(2, 8, (1_000, 2_000)).assignments[0].clone();
    second.assignments = List::new(vec![second.assignments[0].clone(), later]).unwrap();
    for entry in [enrolled(1, 9, (0, 1_000)), second, enrolled(3, 8, (0, 1_000))] {
        registry::add(&registry_folder, &machine_key(), &entry, &mut rng).unwrap();
    }
    refused(&config.quarantine_folder(), 1);
    refused(&config.quarantine_folder(), 3);
    let running = Registry::new(registry_folder.clone(), machine_key(), PARTY);
    running.refresh().unwrap();
    assert_eq!(running.erased([chain(9)].into_iter()), []);

    assert_eq!(forget(&config, ORDER, &chain(9), &mut rng).unwrap(), (2, 1));
    assert!(running.refresh().unwrap());
    assert_eq!(running.newly_erased(), [chain(9)]);
    assert_eq!(running.newly_erased(), []);
    assert_eq!(running.erased([chain(8), chain(9), chain(9)].into_iter()), [chain(9)]);
    assert_eq!(running.place(device(1), TimeMs::new(1)), Err(Code::DeviceUnknown));
    assert_eq!(running.place(device(2), TimeMs::new(1)), Err(Code::DeviceUnassigned));
    assert_eq!(running.place(device(2), TimeMs::new(1_500)).unwrap().grants, chain(8));
    assert_eq!(running.place(device(3), TimeMs::new(1)).unwrap().grants, chain(8));
    let frames = quarantine::list(&config.quarantine_folder(), &machine_key()).unwrap();
    assert_eq!(frames.iter().map(|frame| frame.device).collect::<Vec<_>>(), [device(3)]);

    // It signs once, and needs the device no more; the chain stays closed, also after a restart.
    let unsigned = running.unsigned();
    let (name, mark) = &unsigned[0];
    assert_eq!((unsigned.len(), mark.order, &mark.devices[..]), (1, ORDER, &[device(1)][..]));
    running.signed(*name, ORDER).unwrap();
    assert_eq!(running.unsigned(), []);
    let restarted = Registry::new(registry_folder.clone(), machine_key(), PARTY);
    restarted.refresh().unwrap();
    assert_eq!(restarted.unsigned(), []);
    assert_eq!(restarted.erased([chain(9)].into_iter()), [chain(9)]);
    // Told again, there is nothing to do.
    assert_eq!(forget(&config, ORDER, &chain(9), &mut rng).unwrap(), (0, 0));
    for entry in fs::read_dir(&registry_folder).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(32).any(|window| window == chain(9).as_bytes()));
    }
}
