//! Nothing that names or shows a patient leaves where it belongs. The demo runs while all loopback
//! traffic is captured, and its gateway and a member crash where core files may be written; then the
//! capture, every folder, log and core file are searched for planted values, and the decoded ledger
//! for anything that two of one patient's transactions share.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use aho_corasick::AhoCorasick;
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Captures every packet on the loopback interface (needs CAP_NET_RAW) until its input ends.
const CAPTURE: &str = r#"
import select, socket, sys
lo = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
lo.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 28)
lo.bind(("lo", 0))
with open(sys.argv[1], "wb") as out:
    print("ready", flush=True)
    while True:
        ready, _, _ = select.select([lo, sys.stdin], [], [])
        if sys.stdin in ready:
            break
        out.write(lo.recv(1 << 17))
"#;

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn no_patient_data_or_identifier_is_anywhere_but_with_its_owner() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("demo");
    let capture_file = folder.path().join("loopback.raw");
    let mut capture = Command::new("python3")
        .args(["-c", CAPTURE])
        .arg(&capture_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = String::new();
    BufReader::new(capture.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    assert_eq!(ready.trim(), "ready", "capturing loopback needs root");

    let cores = folder.path().join("cores");
    std::fs::create_dir(&cores).unwrap();
    assert!(core_dumped_without_care(&cores), "core files cannot be written here at all");
    let demo = start_demo(&dir, &cores);
    let ledger = Command::new(env!("CARGO_BIN_EXE_salus"))
        .args(["--json", "ledger", "--dir"])
        .arg(&dir)
        .output()
        .unwrap();
    crash(&dir, "gateway");
    crash(&dir, "node");
    drop(demo);
    drop(capture.stdin.take());
    capture.wait().unwrap();

    let canaries = canaries(&dir);
    // The search finds what is there: the device's own file holds its id.
    assert!(hit(&std::fs::read(dir.join("people/monitor.device")).unwrap(), &canaries).is_some());
    let captured = std::fs::read(&capture_file).unwrap();
    assert!(captured.len() > 1_000_000, "only {} bytes were captured", captured.len());
    assert_eq!(hit(&captured, &canaries), None, "in the captured traffic");
    let mut searched = 0;
    search(&dir, &canaries, &mut searched);
    assert_eq!(std::fs::read_dir(&cores).unwrap().count(), 0, "a core file was written");
    assert!(searched > 50, "only {searched} files were searched");
    assert!(ledger.status.success());
    nothing_links(&serde_json::from_slice(&ledger.stdout).unwrap());
}

/// Starts the demo with `--keep` and returns once it says that it keeps running.
fn start_demo(dir: &Path, cores: &Path) -> Running {
    let mut child = Command::new("sh")
        .args(["-c", "ulimit -c unlimited; ulimit -Sn 512; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_salus")])
        .args(["demo", "--keep", "--dir"])
        .arg(dir)
        .current_dir(cores)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let running = Running(child);
    let mut said = Vec::new();
    for line in stderr.lines() {
        said.push(line.unwrap());
        if said.last().is_some_and(|line| line.contains("Ctrl-C ends it")) {
            return running;
        }
    }
    panic!("the demo ended: {}", said.join("\n"));
}

/// Whether this machine writes the core of a process that takes no care. Leaves none behind.
fn core_dumped_without_care(cores: &Path) -> bool {
    let script = "ulimit -c unlimited; kill -ABRT $$";
    let status = Command::new("sh").args(["-c", script]).current_dir(cores).status().unwrap();
    for core in std::fs::read_dir(cores).unwrap() {
        std::fs::remove_file(core.unwrap().path()).unwrap();
    }
    status.core_dumped()
}

/// Crashes the first process of the demo in `dir` that runs this command, and waits for its end.
fn crash(dir: &Path, command: &str) {
    let (dir, command) = (dir.to_str().unwrap(), [b"\0", command.as_bytes(), b"\0"].concat());
    let runs = |pid: &String| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let has = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
        has(dir.as_bytes()) && has(&command)
    };
    let mut processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().file_name());
    let pid = processes.find_map(|name| name.into_string().ok().filter(runs)).unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let (soft, hard) = (files.split_whitespace().nth(3), files.split_whitespace().nth(4));
    assert_eq!(soft, hard, "a process takes as many open files as it may have");
    assert!(Command::new("kill").args(["-ABRT", &pid]).status().unwrap().success());
    // A process that has ended keeps its number, without a command line, until its parent looks.
    while runs(&pid) {
        std::thread::yield_now();
    }
}

/// What must be nowhere, and a name for each.
struct Canaries {
    search: AhoCorasick,
    names: Vec<&'static str>,
}

/// In raw form, in hexadecimal, and the ECG itself.
fn canaries(dir: &Path) -> Canaries {
    let mut values: Vec<Vec<u8>> = Vec::new();
    let mut names = Vec::new();
    let mut plant = |value: &[u8], what: &'static str| {
        for form in [value.to_vec(), hex::encode(value).into_bytes(), hex::encode_upper(value).into_bytes()] {
            values.push(form[..12].to_vec());
            names.push(what);
        }
    };
    for device in ["monitor.device", "oximeter.device"] {
        let file = std::fs::read(dir.join("people").join(device)).unwrap();
        plant(&file[..16], "a device's id");
        plant(&file[16..48], "a device's key");
    }
    let wallet = std::fs::read(dir.join("people/patient.wallet")).unwrap();
    plant(&wallet[16..48], "the seed of the patient's chain");
    let ecg = include_bytes!("../../../data/mitbih-208-mlii-360hz.i16le");
    for window in ecg.chunks_exact(2_000) {
        values.push(window[..12].to_vec());
        names.push("samples of the ECG");
    }
    Canaries { search: AhoCorasick::new(values).unwrap(), names }
}

fn hit(bytes: &[u8], canaries: &Canaries) -> Option<&'static str> {
    canaries.search.find(bytes).map(|found| canaries.names[found.pattern().as_usize()])
}

/// Every file but those of the people and devices themselves.
fn search(folder: &Path, canaries: &Canaries, searched: &mut usize) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("people") {
            continue;
        }
        if path.is_dir() {
            search(&path, canaries, searched);
        } else if let Ok(bytes) = std::fs::read(&path) {
            assert_eq!(hit(&bytes, canaries), None, "in {}", path.display());
            *searched += 1;
        }
    }
}

/// No two transactions about the patient share eight bytes, but for the key of the member's
/// registrar, which is the same for all of its patients, and the tag and key of a grant in the
/// withdrawal of that very grant.
fn nothing_links(ledger: &serde_json::Value) {
    let about_patient = ["enrol device", "assign device", "commit grant", "record access"];
    let mut seen: HashMap<Vec<u8>, usize> = HashMap::new();
    let mut count = 0;
    for (number, tx) in ledger["transactions"].as_array().unwrap().iter().enumerate() {
        let kind = tx["kind"].as_str().unwrap();
        if !about_patient.contains(&kind) {
            continue;
        }
        count += 1;
        let registrar = kind.ends_with("device");
        let fields = &tx["fields"];
        let mut values: Vec<&str> =
            fields["body"].as_object().unwrap().values().filter_map(|v| v.as_str()).collect();
        values.push(fields["signature"].as_str().unwrap());
        if !registrar {
            values.push(fields["signer"].as_str().unwrap());
        }
        for value in values {
            let bytes = hex::decode(value).unwrap();
            for window in bytes.windows(8) {
                let before = seen.insert(window.to_vec(), number);
                assert!(
                    before.is_none_or(|before| before == number),
                    "{kind} shares bytes with another transaction"
                );
            }
        }
    }
    assert!(count >= 8, "only {count} transactions are about the patient");
}
