//! Disks that are full, that die, and that lose their power: the store says so, loses nothing that it has acknowledged, and
//! works again when the disk does (PM-S-03, PM-S-19).
//!
//! On an ext4 of its own in a file, mounted in a mount namespace of its own, so these need root, and are skipped without.
//! A disk dies by the ioctl that ext4 has for such tests: all that follows is an error, and what was not on the disk is lost, as
//! in a power cut.

use super::support::{granted, put};
use asa_framework::roles::store::{Store, StoreError};
use asa_prefix::pool::record::Record;
use asa_prefix::store::{Code, Options, SledStore, fsck};
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

const DIRECTORY: &str = "ASA_STORE_DISK_DIRECTORY";
/// Lets an ext4 end at once without writing anything any more: `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`.
const DIE: &str = "import fcntl,os,struct,sys,time; time.sleep(float(sys.argv[2])); \
                   fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {text}")) }
}

/// A file system of its own, in a namespace of its own.
struct Disk {
    image: PathBuf,
    mount: PathBuf,
}

impl Disk {
    fn new(mebibytes: u64) -> Self {
        let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
        let (image, mount) = (directory.join("image"), directory.join("mount"));
        File::create(&image).unwrap().set_len(mebibytes << 20).unwrap();
        fs::create_dir(&mount).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", image.to_str().unwrap()]).unwrap();
        let disk = Self { image, mount };
        disk.mount();
        disk
    }

    fn mount(&self) {
        run("mount", &["-o", "loop", self.image.to_str().unwrap(), self.mount.to_str().unwrap()]).unwrap();
    }

    fn unmount(&self) {
        run("umount", &[self.mount.to_str().unwrap()]).unwrap();
    }

    fn state(&self) -> PathBuf {
        self.mount.join("state")
    }
}

/// Runs one of the tests below in a mount namespace of its own; `false` if that cannot be done here.
fn in_a_namespace(test: &str) {
    let needed = [("unshare", "--version"), ("mkfs.ext4", "-V"), ("python3", "--version")];
    let missing = needed.iter().find_map(|(program, argument)| run(program, &[argument]).err());
    let directory = TempDir::new().unwrap();
    let private = ["-m", "--propagation", "private"];
    let refused = missing.or_else(|| {
        let image = directory.path().join("trial");
        File::create(&image).unwrap().set_len(4 << 20).unwrap();
        let script = format!("mkfs.ext4 -q {0} && mkdir {0}.d && mount -o loop {0} {0}.d", image.display());
        run("unshare", &[&private[..], &["sh", "-c", &script]].concat()).err()
    });
    if let Some(refused) = refused {
        println!("skipped, since there can be no disk of its own here (root is needed): {refused}");
        return;
    }
    let output = Command::new("unshare")
        .args(private)
        .arg(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", &format!("store::disk::{test}"), "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    println!("{text}");
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    in_a_namespace("full");
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    in_a_namespace("power_cuts");
}

/// What is acknowledged, and the one that may be there besides.
#[derive(Default)]
struct Known {
    acknowledged: BTreeSet<Record>,
    tried: Option<Record>,
    number: u32,
}

impl Known {
    /// Commits until that fails, or `count` times.
    async fn commit(&mut self, store: &SledStore, count: usize) -> Result<(), StoreError> {
        for _ in 0..count {
            self.number += 1;
            let record = granted(self.number);
            self.tried = Some(record.clone());
            store.commit(vec![put(record.clone())]).await?;
            self.acknowledged.insert(record);
            self.tried = None;
        }
        Ok(())
    }

    fn compare(&mut self, loaded: Vec<Record>) {
        let loaded: BTreeSet<Record> = loaded.into_iter().collect();
        if let Some(tried) = self.tried.take()
            && loaded.contains(&tried)
        {
            self.acknowledged.insert(tried);
        }
        assert_eq!(loaded, self.acknowledged);
    }

    fn examine(&self, dir: &Path) {
        // The records of these tests are no pool.
        let pool = [Code::Stray, Code::Life, Code::More];
        let report = fsck(dir).unwrap();
        assert!(report.problems.iter().all(|problem| pool.contains(&problem.code)), "{:?}", report.problems);
    }
}

fn fill(path: &Path) -> u64 {
    let mut file = File::create(path).unwrap();
    let mut filled = 0;
    for size in [1 << 16, 1 << 12, 1 << 9] {
        while let Ok(count) = file.write(&vec![1; size]) {
            filled += count as u64;
        }
    }
    let _ = file.sync_all();
    filled
}

#[tokio::test]
#[ignore = "runs in a namespace made by a test above"]
async fn full() {
    let disk = Disk::new(24);
    let (state, filler) = (disk.state(), disk.mount.join("filler"));
    let options = Options { segment_bytes: 100_000, ..Options::default() };
    let store = SledStore::create(&state, options.clone()).unwrap();
    let mut known = Known::default();
    let (mut failures, mut failed_loads) = (0, 0);
    for round in 0..6 {
        known.commit(&store, 100).await.unwrap();
        assert!(fill(&filler) > 0);
        // Space that the files have already lasts a while.
        let error = known.commit(&store, 30_000).await.unwrap_err();
        assert!(matches!(&error, StoreError::Io { .. }), "round {round}: {error:?}");
        failures += 1;
        assert!(store.commit(vec![]).await.is_err(), "nothing is accepted before a load");
        // Still full: whatever can be loaded is right.
        for _ in 0..3 {
            match store.load().await {
                Ok(loaded) => {
                    known.compare(loaded);
                    failures += usize::from(known.commit(&store, 30_000).await.is_err());
                }
                Err(error) => {
                    assert!(matches!(error, StoreError::Io { .. }), "round {round}: {error:?}");
                    failed_loads += 1;
                }
            }
        }
        fs::remove_file(&filler).unwrap();
        known.compare(store.load().await.unwrap());
        known.commit(&store, 10).await.unwrap();
        known.compare(store.load().await.unwrap());
    }
    // An empty batch has nothing that could be left over after it.
    store.commit(vec![]).await.unwrap();
    drop(store);
    known.examine(&state);
    known.compare(SledStore::open(&state, options).unwrap().load().await.unwrap());
    println!("{} commits, {failures} failed, {failed_loads} loads failed", known.acknowledged.len());
    drop(disk);
}

#[tokio::test]
#[ignore = "runs in a namespace made by a test above"]
async fn power_cuts() {
    let disk = Disk::new(48);
    let state = disk.state();
    let options = Options { segment_bytes: 20_000, ..Options::default() };
    drop(SledStore::create(&state, options.clone()).unwrap());
    let mut known = Known::default();
    for round in 0..8 {
        let store = SledStore::open(&state, options.clone()).unwrap();
        known.compare(store.load().await.unwrap());
        let after = format!("{}", 0.02 + 0.031 * f64::from(round));
        let mut death =
            Command::new("python3").args(["-c", DIE, disk.mount.to_str().unwrap(), &after]).spawn().unwrap();
        let before = known.acknowledged.len();
        let error = known.commit(&store, 1_000_000).await.unwrap_err();
        assert!(matches!(error, StoreError::Io { .. }), "round {round}: {error:?}");
        assert!(death.wait().unwrap().success());
        assert!(known.acknowledged.len() > before, "round {round}: nothing was at stake");
        assert!(store.load().await.is_err(), "round {round}: a dead disk is read");
        drop(store);
        disk.unmount();
        disk.mount();
        known.examine(&state);
    }
    known.compare(SledStore::open(&state, options).unwrap().load().await.unwrap());
    println!("{} commits acknowledged in 8 power cuts", known.acknowledged.len());
    disk.unmount();
}
