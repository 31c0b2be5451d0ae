//! An origin whose disk is full, is taken away from its writers, or dies while it serves.
//!
//! On an ext4 of its own in a file, mounted in a mount namespace of its own, so these need root, and are skipped without.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use asa_prefix::prefix::Prefix;
use serde_json::{Value, json};

use super::node::{BOUND, Node, Reply, block, stop};
use crate::lab::{Child, Lab, in_namespaces, poll};

const DIRECTORY: &str = "ASA_PREFIX_DISK_DIRECTORY";
/// Requests that a disk which has just been filled may still hold.
const MANY: usize = 30_000;
/// Lets an ext4 end at once without writing anything any more: `EXT4_IOC_SHUTDOWN` with `NOLOGFLUSH`.
const DIE: &str = "import fcntl,os,struct,sys; \
                   fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(args).output().map_err(|error| format!("{program}: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    if output.status.success() { Ok(()) } else { Err(format!("{program} {args:?}: {text}")) }
}

/// Runs one of the tests below in a mount namespace of its own, unless that cannot be done here.
fn in_a_namespace(test: &str) {
    if std::env::var_os("ASA_SKIP_NETNS").is_some_and(|value| value == "1") {
        return;
    }
    let needed = [("unshare", "--version"), ("mkfs.ext4", "-V"), ("python3", "--version")];
    let missing = needed.iter().find_map(|(program, argument)| run(program, &[argument]).err());
    let directory = tempfile::tempdir().unwrap();
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
        .args(["--ignored", "--exact", &format!("prefix::disk::{test}"), "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// PM-S-19: read-only with an alarm while the disk is full, and back by itself when there is space.
#[test]
fn on_a_full_disk_it_declines_and_recovers_by_itself() {
    in_a_namespace("full");
}

/// PM-S-19: a file system that its kernel has made read-only.
#[test]
fn on_a_disk_that_became_read_only_it_declines_and_says_what_to_do() {
    in_a_namespace("read_only");
}

/// PM-S-03, PM-S-19
#[test]
fn on_a_dead_disk_it_declines_and_loses_nothing() {
    in_a_namespace("dead");
}

/// A disk of an origin, and a delegator that asks it.
struct Scene {
    image: PathBuf,
    mount: PathBuf,
    origin: Node,
    edge: Node,
    asker: Child,
    /// What was acknowledged at the origin.
    known: BTreeMap<String, Prefix>,
    number: usize,
}

impl Scene {
    fn new(lab: &mut Lab) -> Self {
        let directory = PathBuf::from(std::env::var(DIRECTORY).unwrap());
        let (image, mount) = (directory.join("image"), directory.join("mount"));
        File::create(&image).unwrap().set_len(24 << 20).unwrap();
        fs::create_dir(&mount).unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", image.to_str().unwrap()]).unwrap();
        mount_at(&image, &mount);
        let hosts = lab.lan(2);
        let stock = r#"prefixes=["2001:db8::/32"]"#;
        let origin = Node::new(&hosts[0], "origin", "origin", &directory, &[stock]).on(&mount.join("state"));
        origin.init();
        let needs = ["store=memory", "ipv6_ask=64", "ipv6_need=0"];
        let edge = Node::new(&hosts[1], "edge", "delegator", &directory, &needs);
        let asker = edge.start();
        Self { image, mount, origin, edge, asker, known: BTreeMap::new(), number: 0 }
    }

    /// A new client; whether it was served.
    fn client(&mut self) -> bool {
        self.number += 1;
        let name = format!("c{}", self.number);
        match self.origin.take(&name, 64) {
            Reply::Done(answer) => self.known.insert(name, block(&answer)).is_none(),
            Reply::Refused(_) | Reply::Unknown(_) => false,
        }
    }

    /// The client of a peer, which asks the origin if it has nothing left; whether the client was served.
    fn peer(&mut self) -> bool {
        self.number += 1;
        matches!(self.edge.take(&format!("e{}", self.number), 64), Reply::Done(_))
    }

    /// Blocks that were granted to the peer.
    fn granted(&self) -> BTreeSet<Prefix> {
        self.origin.blocks(&["granted"]).into_iter().map(|(block, _)| block).collect()
    }

    /// Blocks that the peer has obtained.
    fn obtained(&self) -> BTreeSet<Prefix> {
        let census = self.edge.answer(&json!({ "command": "census" }))["census"].clone();
        let aggregates = census["aggregates"].as_array().unwrap().iter();
        aggregates.map(block).collect()
    }

    /// Serves clients until the disk refuses.
    fn serve_until_refused(&mut self) {
        let served = (0..MANY).take_while(|_| self.client()).count();
        assert!(served < MANY, "the disk takes everything");
    }

    fn census(&self) -> Value {
        self.origin.answer(&json!({ "command": "census" }))["census"].clone()
    }

    /// Clients and peers are declined, and the operator is told.
    fn declines(&mut self, origin: &Child) {
        poll("the pool is read-only", BOUND, || {
            // A try now and then may succeed, since a little space is left.
            let again = self.client();
            (!again && self.census()["writable"] == false).then_some(())
        });
        assert!(!self.client());
        let before = self.asker.lines().len();
        poll("a peer is declined", BOUND, || {
            self.peer();
            let lines = self.asker.lines();
            let declined = |text: &str| text.contains("\"negotiation_ended\"") && text.contains("\"declined\"");
            lines.iter().skip(before).any(|line| declined(&line.text)).then_some(())
        });
        origin.wait_line("the pool is read-only", BOUND);
        let trouble = self.census()["trouble"].as_str().unwrap().to_owned();
        assert!(trouble.contains(&*self.mount.to_string_lossy()), "{trouble}");
        println!("told: {trouble}");
        assert_eq!(origin.exit_status(), None, "{}", origin.output());
    }

    /// Everybody has what was acknowledged.
    fn nothing_is_lost(&self) {
        for (client, block) in &self.known {
            match self.origin.take(client, 64) {
                Reply::Done(answer) => assert_eq!(super::node::block(&answer), *block, "{client}"),
                other => panic!("{client}: {other:?}"),
            }
        }
    }

    /// Ends the origin, mounts its disk anew, and starts it again.
    fn mend(&mut self, origin: &Child) -> Child {
        stop(origin);
        run("umount", &[self.mount.to_str().unwrap()]).unwrap();
        // The journal is replayed, and what is flagged is examined.
        let _ = Command::new("e2fsck").args(["-f", "-y", self.image.to_str().unwrap()]).output();
        mount_at(&self.image, &self.mount);
        assert_eq!(self.origin.faults(), None);
        let origin = self.origin.start();
        self.nothing_is_lost();
        self.works();
        origin
    }

    fn works(&mut self) {
        assert!(self.client());
        let before = self.granted();
        poll("a peer obtains again", BOUND, || {
            self.peer();
            (self.granted().len() > before.len()).then_some(())
        });
    }

    fn end(self, origin: &Child) {
        poll("both sides know the same", 2 * BOUND, || {
            std::thread::sleep(Duration::from_millis(100));
            (self.granted() == self.obtained()).then_some(())
        });
        [origin, &self.asker].into_iter().for_each(stop);
        assert_eq!(self.origin.faults(), None);
        println!("{} delegations acknowledged", self.known.len());
        run("umount", &[self.mount.to_str().unwrap()]).unwrap();
    }
}

fn mount_at(image: &Path, mount: &Path) {
    run("mount", &["-o", "loop", image.to_str().unwrap(), mount.to_str().unwrap()]).unwrap();
}

fn fill(path: &Path) {
    let mut file = File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 1 << 9] {
        while file.write(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

#[test]
#[ignore = "runs in a namespace made by a test above"]
fn full() {
    in_namespaces(|lab| {
        let mut scene = Scene::new(lab);
        let origin = scene.origin.start();
        let filler = scene.mount.join("filler");
        scene.works();
        for _ in 0..2 {
            fill(&filler);
            scene.serve_until_refused();
            scene.declines(&origin);
            fs::remove_file(&filler).unwrap();
            poll("the pool works again", 2 * BOUND, || {
                std::thread::sleep(Duration::from_millis(100));
                (scene.census()["writable"] == true).then_some(())
            });
            scene.nothing_is_lost();
            scene.works();
        }
        scene.end(&origin);
    });
}

#[test]
#[ignore = "runs in a namespace made by a test above"]
fn read_only() {
    in_namespaces(|lab| {
        let mut scene = Scene::new(lab);
        let origin = scene.origin.start();
        scene.works();
        run("mount", &["-o", "remount,abort", scene.mount.to_str().unwrap()]).unwrap();
        scene.serve_until_refused();
        scene.declines(&origin);
        let origin = scene.mend(&origin);
        scene.end(&origin);
    });
}

#[test]
#[ignore = "runs in a namespace made by a test above"]
fn dead() {
    in_namespaces(|lab| {
        let mut scene = Scene::new(lab);
        let origin = scene.origin.start();
        scene.works();
        run("python3", &["-c", DIE, scene.mount.to_str().unwrap()]).unwrap();
        scene.serve_until_refused();
        scene.declines(&origin);
        let origin = scene.mend(&origin);
        scene.end(&origin);
    });
}
