//! A peer that sends garbage to every port, with and without TLS, with and without a certificate,
//! quickly and slowly.

use super::consortium::{Consortium, SOON};
use super::device::Device;
use super::frames::{self, Kept};
use super::mosquitto;
use super::ports::{configured, nothing_else_listens, resident};
use salus_client::drive::now;
use salus_link::tls::{Outgoing, TrustedAuthority};
use salus_link::{Authority, Credential, DeviceTls, Subject};
use salus_wire::MemberIndex;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Connections that say nothing, or half of something, at once to one port.
const SLOW: usize = 300;
/// Bytes by which a process may have grown after all of it. Frames of 64 MiB may be under way at
/// once in a member beside small ones, and what was given back the allocator may keep.
const GROWTH_BYTES_MAX: u64 = 128 * 1024 * 1024;
/// The largest call, 16 MiB.
const CALL_BYTES_MAX: u32 = 16 * 1024 * 1024;
/// What each of them then sends of the frame; together they would be more than a gigabyte.
const MUCH_BYTES: usize = 4 * 1024 * 1024;
/// For as long as they try.
const WRITTEN_WITHIN: Duration = Duration::from_secs(2);
/// For a listener to close a connection that means nothing.
const CLOSED_WITHIN: Duration = Duration::from_secs(40);

/// How much each process grew, in bytes.
pub(crate) type Growth = BTreeMap<String, i64>;

/// Everything at every port, while `all` stays readable; says how much memory each process took more.
pub(crate) async fn on_every_port(consortium: &mut Consortium, device: &Device, all: &Kept) -> Growth {
    let ports = configured(consortium);
    nothing_else_listens(consortium, &ports);
    let before = memory(consortium);
    let hello = client_hello(device).await;
    for at in ports.values().flatten() {
        without_tls(*at, &hello).await;
    }
    let (mut inside, mut slow) = (Vec::new(), Vec::new());
    for (name, addresses) in &ports {
        let at = addresses[0];
        mosquitto::without_certificate(consortium, at);
        with_foreign_certificate(consortium, name, at).await;
        let tls = if name.starts_with("member-") { operator(consortium, name) } else { device.tls.clone() };
        garbage_inside_tls(&tls, at).await;
        inside.extend(half_a_frame(&tls, at).await);
    }
    // Somebody else's certificate finds its place beside the one that takes all it can.
    frames::read_back(consortium, all).await;
    for at in ports.values().flatten() {
        slow.extend(half_open(*at, &hello).await);
    }
    consortium.all_run();
    let during = growth(&before, consortium);
    for mut stream in inside {
        closes(&mut stream, "half a frame").await;
    }
    for mut stream in slow {
        closes(&mut stream, "half a greeting").await;
    }
    nothing_else_listens(consortium, &ports);
    during
}

fn memory(consortium: &Consortium) -> BTreeMap<String, u64> {
    consortium.names().into_iter().map(|name| (name.clone(), resident(consortium.pid(&name)))).collect()
}

/// While the slow connections are still held.
fn growth(before: &BTreeMap<String, u64>, consortium: &Consortium) -> Growth {
    let mut growth = Growth::new();
    for (name, after) in memory(consortium) {
        let grown = i64::try_from(after).unwrap() - i64::try_from(before[&name]).unwrap();
        assert!(grown < i64::try_from(GROWTH_BYTES_MAX).unwrap(), "{name} grew by {grown} bytes");
        growth.insert(name, grown);
    }
    growth
}

/// The first bytes of a TLS client of ours, as a listener hears them.
async fn client_hello(device: &Device) -> Vec<u8> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let heard = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 16 * 1024];
        let read = stream.read(&mut hello).await.unwrap();
        hello.truncate(read);
        hello
    };
    let (hello, refused) =
        tokio::join!(heard, async { device.tls.connect(TcpStream::connect(at).await.unwrap()).await });
    assert!(refused.is_err() && hello[0] == 0x16 && hello.len() > 1_000);
    hello
}

/// Noise that is the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Bytes that are no TLS, and bytes that begin as TLS. The listener closes.
async fn without_tls(at: SocketAddr, hello: &[u8]) {
    let greeting = [hello, &noise(2_000)].concat();
    let http = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec();
    let long = [vec![0x16, 3, 1, 0xff, 0xff], noise(70_000)].concat();
    for bytes in [noise(64), noise(300_000), vec![0; 4_096], vec![0xff; 4_096], http, long, greeting] {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let _ = timeout(SOON, stream.write_all(&bytes)).await.unwrap();
        let _ = stream.shutdown().await;
        closes(&mut stream, "bytes without TLS").await;
    }
}

/// Many connections that say nothing or stop in the middle of a greeting. They are held.
async fn half_open(at: SocketAddr, hello: &[u8]) -> Vec<TcpStream> {
    let mut held = Vec::new();
    for number in 0..SLOW {
        // One that was turned away at once is no burden.
        let Ok(mut stream) = TcpStream::connect(at).await else { continue };
        if number % 2 == 0 {
            let _ = stream.write_all(&hello[..hello.len() / 2]).await;
        }
        held.push(stream);
    }
    held
}

/// The name in the certificate of a process, and the member whose authority vouches for it.
fn trusted(consortium: &Consortium, name: &str) -> (TrustedAuthority, String) {
    let (member, dns) = match name.strip_prefix("member-") {
        Some(member) => (member.parse().unwrap(), format!("{name}.salus")),
        None => (0, "gateway.salus".to_owned()),
    };
    let path = consortium.dir.join(format!("keys/member-{member}/authority.pem"));
    let certificate_pem = std::fs::read_to_string(path).unwrap();
    (TrustedAuthority { member: MemberIndex::new(member), certificate_pem }, dns)
}

async fn connect(tls: &DeviceTls, at: SocketAddr) -> std::io::Result<Outgoing> {
    timeout(SOON, async { tls.connect(TcpStream::connect(at).await?).await }).await.unwrap()
}

/// In TLS 1.3 a client believes to be connected before its certificate was looked at.
async fn with_foreign_certificate(consortium: &Consortium, name: &str, at: SocketAddr) {
    let foreign = Authority::generate(MemberIndex::new(0), now()).unwrap();
    let own = foreign.issue(&Subject::Member(MemberIndex::new(0)), &[], now()).unwrap();
    let (authority, dns) = trusted(consortium, name);
    let tls = DeviceTls::new(&own, &authority, &dns).unwrap();
    let mut stream = connect(&tls, at).await.unwrap();
    let _ = stream.write_all(&noise(1_000)).await;
    closes(&mut stream, "a foreign certificate").await;
}

/// A certificate that is let in, and then what is no call and no packet.
async fn garbage_inside_tls(tls: &DeviceTls, at: SocketAddr) {
    for bytes in [noise(64), claim(u32::MAX), claim(0), claim(CALL_BYTES_MAX + 9)] {
        let mut stream = connect(tls, at).await.unwrap();
        let _ = timeout(SOON, stream.write_all(&bytes)).await.unwrap();
        let _ = stream.flush().await;
        closes(&mut stream, "garbage within TLS").await;
    }
}

/// Many connections of one certificate, each in the middle of a frame that claims the most that a
/// call may have. They are held.
async fn half_a_frame(tls: &DeviceTls, at: SocketAddr) -> Vec<Outgoing> {
    let mut held = Vec::new();
    for _ in 0..SLOW {
        let mut stream = connect(tls, at).await.unwrap();
        let _ = stream.write_all(&claim(CALL_BYTES_MAX)).await;
        let _ = stream.flush().await;
        held.push(stream);
    }
    let much = noise(MUCH_BYTES);
    // Whoever is not read waits; whoever was closed fails.
    let more = held.iter_mut().map(|stream| timeout(WRITTEN_WITHIN, stream.write_all(&much)));
    futures::future::join_all(more).await;
    held
}

/// The beginning of a call of ours that claims a length.
fn claim(length: u32) -> Vec<u8> {
    [&length.to_le_bytes()[..], &noise(500)].concat()
}

/// The calling side of the operator of member 0 towards another member.
fn operator(consortium: &Consortium, name: &str) -> DeviceTls {
    let keys: &Path = &consortium.dir.join("keys/member-0");
    let read = |file: &str| std::fs::read_to_string(keys.join(file)).unwrap();
    let own = Credential::from_pem(read("operator.pem"), read("operator.key")).unwrap();
    let (authority, dns) = trusted(consortium, name);
    DeviceTls::new(&own, &authority, &dns).unwrap()
}

/// The other side ends the connection, whatever it says before.
async fn closes(stream: &mut (impl AsyncReadExt + Unpin), what: &str) {
    let mut said = vec![0; 16 * 1024];
    let ended = async { while !matches!(stream.read(&mut said).await, Ok(0) | Err(_)) {} };
    assert!(timeout(CLOSED_WITHIN, ended).await.is_ok(), "a connection stays open after {what}");
}
