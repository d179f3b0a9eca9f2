//! Plans on a real folder, and on an object store that fails when told to.

use super::*;
use async_trait::async_trait;
use futures::FutureExt;
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, PutMultipartOptions,
    PutResult, Result,
};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Memory that takes a number of writes and then says what a failing disk says.
#[derive(Debug)]
pub(crate) struct Failing {
    inner: InMemory,
    writes_left: AtomicUsize,
    kind: ErrorKind,
}

impl Failing {
    pub(crate) fn after(writes: usize, kind: ErrorKind) -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), writes_left: AtomicUsize::new(writes), kind })
    }
}

impl std::fmt::Display for Failing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("failing")
    }
}

#[async_trait]
impl ObjectStore for Failing {
    async fn put_opts(&self, at: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        let take = |left: usize| left.checked_sub(1);
        if self.writes_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_err() {
            let source = Box::new(std::io::Error::from(self.kind));
            return Err(object_store::Error::Generic { store: "failing", source });
        }
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Memory that remembers which folders were listed.
#[derive(Debug)]
pub(crate) struct Listed {
    inner: InMemory,
    prefixes: std::sync::Mutex<Vec<String>>,
}

impl Listed {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { inner: InMemory::new(), prefixes: std::sync::Mutex::default() })
    }

    pub(crate) fn forget(&self) {
        self.prefixes.lock().unwrap().clear();
    }

    pub(crate) fn prefixes(&self) -> Vec<String> {
        self.prefixes.lock().unwrap().clone()
    }
}

impl std::fmt::Display for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("listed")
    }
}

#[async_trait]
impl ObjectStore for Listed {
    async fn put_opts(&self, at: &ObjectPath, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.inner.put_opts(at, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        at: &ObjectPath,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &ObjectPath, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        at: BoxStream<'static, Result<ObjectPath>>,
    ) -> BoxStream<'static, Result<ObjectPath>> {
        self.inner.delete_stream(at)
    }

    fn list(&self, prefix: Option<&ObjectPath>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.prefixes.lock().unwrap().push(prefix.map(ToString::to_string).unwrap_or_default());
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&ObjectPath>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &ObjectPath, to: &ObjectPath, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn plan(objects: &[(&str, &'static [u8])], taken: Taken) -> Plan<()> {
    let write = |(object, bytes): &(&str, &'static [u8])| Write {
        object: (*object).to_owned(),
        bytes: Bytes::from_static(bytes),
        taken,
    };
    Plan { writes: objects.iter().map(write).collect(), promise: () }
}

#[tokio::test]
async fn a_plan_is_there_after_reopening_and_may_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::folder(dir.path()).unwrap();
    assert_eq!(disk.count("a").await.unwrap(), 0);
    let first = plan(&[("a/x", b"1"), ("a/y", b"2"), ("b/z", b"3")], Taken::SameBytes);
    assert_eq!(disk.persist(first).await.unwrap().created(), 3);
    let disk = Disk::folder(dir.path()).unwrap();
    let again = plan(&[("a/x", b"1"), ("a/w", b"4")], Taken::SameBytes);
    assert_eq!(disk.persist(again).await.unwrap().created(), 1);
    assert_eq!(disk.read("a/y").await.unwrap().unwrap(), "2");
    assert_eq!(disk.read("a/none").await.unwrap(), None);
    assert_eq!(disk.count("a").await.unwrap(), 3);
    let mut names = disk.list("a").await.unwrap();
    names.sort();
    assert_eq!(names, ["a/w", "a/x", "a/y"]);
}

#[tokio::test]
async fn a_list_that_would_be_cut_is_an_error() {
    let disk = Disk::over(Arc::new(InMemory::new()));
    let three = plan(&[("a/x", b"1"), ("a/b/y", b"2"), ("a/c/z", b"3"), ("d/w", b"4")], Taken::SameBytes);
    let _durable = disk.persist(three).await.unwrap();
    assert_eq!(disk.list_within("a", 3).await.unwrap().len(), 3);
    let cut = disk.list_within("a", 2).await;
    assert!(matches!(cut, Err(StoreError::TooMany { folder }) if folder == "a"));
    let mut folders = disk.folders("a").await.unwrap();
    folders.sort();
    assert_eq!(folders, ["b", "c"]);
    assert!(disk.folders("none").await.unwrap().is_empty());
}

#[tokio::test]
async fn other_bytes_under_a_taken_name_are_refused_unless_they_may_replace() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::folder(dir.path()).unwrap();
    let _durable = disk.persist(plan(&[("a/x", b"1")], Taken::SameBytes)).await.unwrap();
    let other = disk.persist(plan(&[("a/x", b"2")], Taken::SameBytes)).await;
    assert!(matches!(other, Err(StoreError::Occupied)));
    assert_eq!(disk.read("a/x").await.unwrap().unwrap(), "1");
    let _durable = disk.persist(plan(&[("a/x", b"2")], Taken::Replace)).await.unwrap();
    assert_eq!(disk.read("a/x").await.unwrap().unwrap(), "2");
}

#[tokio::test]
async fn a_full_disk_promises_nothing_and_works_again_with_room() {
    let disk = Disk::over(Failing::after(1, ErrorKind::StorageFull));
    let both = || plan(&[("a/x", b"1"), ("a/y", b"2")], Taken::SameBytes);
    assert!(matches!(disk.persist(both()).await, Err(StoreError::Full { .. })));
    assert!(disk.failed().now_or_never().is_none());
}

#[tokio::test]
async fn a_failed_disk_promises_nothing_ever_again() {
    let failing = Failing::after(1, ErrorKind::Other);
    let disk = Disk::over(failing.clone());
    let _durable = disk.persist(plan(&[("a/x", b"1")], Taken::SameBytes)).await.unwrap();
    assert!(disk.failed().now_or_never().is_none());
    let second = || plan(&[("a/y", b"2")], Taken::SameBytes);
    assert!(matches!(disk.persist(second()).await, Err(StoreError::Object { .. })));
    failing.writes_left.store(9, Ordering::SeqCst);
    disk.failed().now_or_never().unwrap();
    assert!(matches!(disk.persist(second()).await, Err(StoreError::Poisoned)));
    assert_eq!(disk.read("a/x").await.unwrap().unwrap(), "1");
}

#[tokio::test]
async fn what_a_crash_left_half_written_is_gone_after_opening() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::folder(dir.path()).unwrap();
    let _durable = disk.persist(plan(&[("a/b/x", b"1")], Taken::SameBytes)).await.unwrap();
    let torn = dir.path().join("a/b/y#1");
    std::fs::write(&torn, b"half").unwrap();
    let disk = Disk::folder(dir.path()).unwrap();
    assert!(!torn.exists());
    assert_eq!(disk.list("a").await.unwrap(), ["a/b/x"]);
}

#[test]
fn the_reserve_is_kept() {
    for (wanted, free, fits) in [
        (0, RESERVE_BYTES, true),
        (0, RESERVE_BYTES - 1, false),
        (10, RESERVE_BYTES + 10, true),
        (11, RESERVE_BYTES + 10, false),
        (u64::MAX, u64::MAX, false),
    ] {
        assert_eq!(fits_beside_reserve(wanted, free).is_ok(), fits, "{wanted} of {free}");
    }
}
