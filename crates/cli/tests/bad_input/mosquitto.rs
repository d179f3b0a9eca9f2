//! Somebody else's MQTT client, `mosquitto_pub`, with what `salus device` writes for it.

use super::consortium::{Consortium, said};
use super::device::Device;
use super::frames::Kept;
use salus_wire::Code;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Seconds after which a client that tries for ever is given up.
const GIVE_UP: &str = "10";

/// A device in the hands of `mosquitto_pub`: its PEM files and its signed frames.
struct Foreign {
    tls: PathBuf,
    frames: Vec<PathBuf>,
    at: SocketAddr,
    topic: String,
}

impl Foreign {
    fn new(consortium: &Consortium, device: &Device) -> Self {
        let (tls, frames) = (consortium.people("foreign-tls"), consortium.people("foreign-frames"));
        consortium.salus(&["device", "credentials", "--device", &device.path, "--out", &tls]);
        let signed = consortium.salus(&[
            "device",
            "sign",
            "--device",
            &device.path,
            "--seconds",
            "6",
            "--out",
            &frames,
        ]);
        assert_eq!(signed["frames"], 6);
        let mut frames: Vec<PathBuf> =
            std::fs::read_dir(frames).unwrap().map(|entry| entry.unwrap().path()).collect();
        frames.sort();
        let at = signed["gateway"].as_str().unwrap().parse().unwrap();
        Self { tls: tls.into(), frames, at, topic: signed["topic"].as_str().unwrap().to_owned() }
    }

    fn publish(&self, version: &str, frame: &Path) -> Output {
        let mut command = client(self.at, &self.tls.join("authority.pem"));
        command.args(["-V", version, "-q", "1", "-t", &self.topic, "-f"]).arg(frame);
        command.arg("--cert").arg(self.tls.join("device.pem"));
        command.arg("--key").arg(self.tls.join("device.key"));
        command.output().unwrap()
    }
}

/// `mosquitto_pub` with a deadline, towards `at`.
fn client(at: SocketAddr, authority: &Path) -> Command {
    let mut command = Command::new("timeout");
    command.args([GIVE_UP, "mosquitto_pub", "--tls-version", "tlsv1.3"]);
    command.args(["-h", &at.ip().to_string(), "-p", &at.port().to_string(), "--cafile"]).arg(authority);
    command
}

/// Frames signed by the product reach the gateway through it over MQTT 5 and 3.1.1, and its answer
/// to a bad one is a failure.
pub(crate) fn publishes_and_is_refused(consortium: &Consortium, device: &Device) -> Kept {
    let foreign = Foreign::new(consortium, device);
    for (version, frame) in ["5", "5", "5", "311", "311", "311"].iter().zip(&foreign.frames) {
        let output = foreign.publish(version, frame);
        assert!(output.status.success(), "MQTT {version}: {}", said(&output));
        assert_eq!(said(&output), "", "MQTT {version}");
    }
    let bad = PathBuf::from(consortium.people("bad.frame"));
    let mut bytes = std::fs::read(&foreign.frames[0]).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&bad, bytes).unwrap();
    // This client ends with success although it was told of a failure, and says so in words.
    let output = foreign.publish("5", &bad);
    let said_bad = said(&output);
    assert!(said_bad.contains("Publish 1 failed: Not authorized"), "{said_bad}");
    assert!(said_bad.contains(&Code::FrameSignature.to_string()), "{said_bad}");
    assert!(said_bad.contains(Code::FrameSignature.next_step()), "{said_bad}");
    let output = foreign.publish("311", &bad);
    assert!(!output.status.success() && said(&output).contains("connection was lost"), "{}", said(&output));
    assert!(consortium.log("gateway-0").contains(&Code::FrameSignature.to_string()));
    let sequence = |frame: &PathBuf| frame.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    foreign.frames.iter().map(|frame| (device.id.to_string(), sequence(frame))).collect()
}

/// A TLS client without a certificate is not let in.
pub(crate) fn without_certificate(consortium: &Consortium, at: SocketAddr) {
    let authority = consortium.dir.join("keys/member-0/authority.pem");
    let output =
        client(at, &authority).args(["-q", "1", "-t", "salus/v1/frame", "-m", "x"]).output().unwrap();
    assert!(!output.status.success(), "{at}: {}", said(&output));
}
